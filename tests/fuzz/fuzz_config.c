/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a letter that chooses the task, then the JSON text of a configuration of `latchwork train`. Settings
 * that are accepted must be complete, and no task is opened.
 */
#include "../../cli/report.h"
#include "../../cli/train_settings.h"
#include "../../cli/train_task.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;
    struct settings settings;
    while (task_names[count])
        count++;
    if (size == 0)
        return 0;
    const char *path = input_file(".json", data + 1, size - 1);
    const char *arguments[] = {"train", task_names[data[0] % count], "--config", path, NULL};
    int status = settings_read(&command_train, 4, arguments, &settings);
    if (status == EXIT_OK) {
        json_t *identity = settings_identity(&settings);
        MUST(settings.task && settings.cell_kind && settings.optimiser_kind && identity);
        char *text = json_dumps(identity, JSON_COMPACT);
        MUST(text);
        free(text);
        json_decref(identity);
    }
    settings_free(&settings);
    arguments_release();
    return 0;
}
