/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the log (see train_log.h). A validation stands behind the update that it followed.
 */
#include "train_log.h"

#include "report.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

int log_open(struct log *log, const char *path)
{
    *log = (struct log){.path = path};
    if (!path)
        return EXIT_OK;
    const char *dot = strrchr(path, '.');
    log->json = dot && (strcasecmp(dot, ".jsonl") == 0 || strcasecmp(dot, ".json") == 0);
    log->stream = fopen(path, "w");
    if (!log->stream)
        return fail("%s: cannot be written: %s", path, strerror(errno));
    setvbuf(log->stream, NULL, _IOLBF, 0); /* whole lines, for those who watch it grow */
    if (!log->json)
        fputs("update,loss,norm,rate,seconds,validation_loss,validation_accuracy\n", log->stream);
    return EXIT_OK;
}

static void write_check(struct log *log, const double *check)
{
    if (log->json) {
        fprintf(log->stream, "{\"update\":%.0f,\"validation_loss\":%.9g", check[0], check[1]);
        if (!isnan(check[2]))
            fprintf(log->stream, ",\"validation_accuracy\":%.9g", check[2]);
        fputs("}\n", log->stream);
        return;
    }
    fprintf(log->stream, "%.0f,,,,,%.9g,", check[0], check[1]);
    if (!isnan(check[2]))
        fprintf(log->stream, "%.9g", check[2]);
    fputc('\n', log->stream);
}

int log_write(struct log *log, const struct history *history)
{
    if (!log->stream)
        return EXIT_OK;
    while (log->records < history->record_count || log->checks < history->check_count) {
        const double *check = history->checks + CHECK_WIDTH * log->checks;
        if (log->checks < history->check_count &&
            (check[0] <= (double)log->records || log->records == history->record_count)) {
            write_check(log, check);
            log->checks++;
            continue;
        }
        const double *record = history->records + RECORD_WIDTH * log->records++;
        const char *form = log->json ? "{\"update\":%zu,\"loss\":%.9g,\"norm\":%.9g,\"rate\":%.9g,\"seconds\":%.3f}\n"
                                     : "%zu,%.9g,%.9g,%.9g,%.3f,,\n";
        fprintf(log->stream, form, log->records, record[0], record[1], record[2], record[3]);
    }
    return ferror(log->stream) ? fail("%s: cannot be written: %s", log->path, strerror(errno)) : EXIT_OK;
}

int log_close(struct log *log)
{
    FILE *stream = log->stream;
    log->stream = NULL;
    return stream && fclose(stream) != 0 ? fail("%s: cannot be written: %s", log->path, strerror(errno)) : EXIT_OK;
}
