/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that end a measurement early; see stop.h. */
#include "stop.h"

#include "driver.h"

#include "../file.h"

#include <string.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

const volatile sig_atomic_t *stop_begin(void)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    stop = 0;
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        sigaction(caught[i], NULL, &old);
        if (old.sa_handler != SIG_IGN)
            sigaction(caught[i], &action, NULL);
    }
    driver_stop_when(&stop);
    return &stop;
}

void stop_end(void)
{
    driver_stop_when(NULL);
    signals_catch();
}

int stop_signal(void)
{
    return (int)stop;
}
