/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of training tasks and what they share (see train_task.h).
 */
#include "train_task.h"

#include "report.h"

#include <math.h>

const struct task_kind *const task_kinds[] = {&task_series, &task_classify, &task_text, &task_latch,
                                              &task_adding, &task_copy,     NULL};
const char *const task_names[] = {"series", "classify", "text", "latch", "adding", "copy", NULL};

int task_open(struct task *task, const struct settings *settings)
{
    *task = (struct task){.kind = settings->task,
                          .steps = settings->length,
                          .batch = settings->batch,
                          .baseline = NAN,
                          .linear = NAN,
                          .digest = DIGEST_START};
    return task->kind->open(task, settings);
}

void task_close(struct task *task)
{
    if (task->kind && task->kind->close)
        task->kind->close(task);
    task->data = NULL;
}

uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ at[i]) * 0x100000001b3u;
    return digest;
}
