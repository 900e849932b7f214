/* SPDX-License-Identifier: MIT */
/* The list of documents to fetch: regular files below a folder. */
#ifndef DEMO_FILES_H
#define DEMO_FILES_H

#include <stddef.h>

struct files {
    char **paths; /* each starts with a slash */
    size_t count;
};

/*
 * Find the project's files.  FOLDER is where to look; NULL takes the current folder if it holds the
 * project, and otherwise the one of the program.  *ret_folder is the one it took, to be freed.
 * Returns 0, or a negative code with its sentence.
 */
int files_find(const char *folder, struct files *files, char **ret_folder);

/* Free a list. */
void files_free(struct files *files);

#endif
