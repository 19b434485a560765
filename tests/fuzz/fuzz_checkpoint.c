/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input is a checkpoint of a small training run (the arguments below; seeds come from the command with
 * the same ones). What is accepted must go on learning and be saved.
 */
#include "../../cli/report.h"
#include "../../cli/train_checkpoint.h"
#include "fuzz.h"

static const char *const arguments[] = {"train",     "latch",  "--cell",    "gru", "--hidden",  "3", "--length", "4",
                                        "--batch",   "2",      "--every",   "1",   "--updates", "9", "--seed",   "5",
                                        "--initial", "xavier", "--threads", "1"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct settings settings;
    static struct task task;
    static int ready;
    struct trainer trainer = {0};
    if (!ready) {
        MUST(settings_read(&command_train, sizeof arguments / sizeof *arguments, (const char **)arguments, &settings) ==
             EXIT_OK);
        MUST(task_open(&task, &settings) == EXIT_OK);
        ready = 1;
    }
    MUST(trainer_open(&trainer, &settings, &task, settings.cell_kind, settings.chrono) == EXIT_OK);
    const char *path = input_file(".checkpoint", data, size);
    if (checkpoint_restore(&trainer, path) == EXIT_OK) {
        trainer_update(&trainer); /* refused where the numbers of the checkpoint are no numbers */
        MUST(checkpoint_save(&trainer, path) == EXIT_OK);
        MUST(checkpoint_restore(&trainer, path) == EXIT_OK);
        MUST(model_save(&trainer, path) == EXIT_OK);
    }
    trainer_close(&trainer);
    return 0;
}
