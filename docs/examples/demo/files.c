/* SPDX-License-Identifier: MIT */
/*
 * Walking folders without recursion: the list of folders yet to be read grows behind its reader.
 *
 * Folders are opened from the root's descriptor, and symbolic links are passed over, so that the
 * list holds what the server is willing to open, and nothing twice.
 */
#include "files.h"

#include <anysync.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_LIMIT 1000
#define SIZE_LIMIT (4 * 1024 * 1024) /* a document larger than this is none of ours */

static const char *const project_folders[] = {"/include", "/lib", "/docs", "/test", "/bench"};

static int add_path(struct files *files, const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char **paths = realloc(files->paths, (files->count + 1) * sizeof *paths);
    char *path = malloc(size);

    if (paths)
        files->paths = paths;
    if (!paths || !path) {
        free(path);
        return anysync_fail(-ENOMEM, "no memory for the list of files");
    }
    snprintf(path, size, "%s/%s", folder, name);
    files->paths[files->count++] = path;
    return 0;
}

/* Passed over: names that a URL would have to encode, and hidden ones: the server refuses them. */
static bool is_plain(const char *name)
{
    return name[0] != '.' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
                                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+")] == '\0';
}

static int read_folder(DIR *folder, const char *path, struct files *folders, struct files *files)
{
    int error = 0;

    for (struct dirent *entry = readdir(folder); entry && !error; entry = readdir(folder)) {
        struct stat status;

        if (!is_plain(entry->d_name) ||
                fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(status.st_mode) && folders->count < FILES_LIMIT)
            error = add_path(folders, path, entry->d_name);
        else if (S_ISREG(status.st_mode) && status.st_size <= SIZE_LIMIT &&
                 files->count < FILES_LIMIT)
            error = add_path(files, path, entry->d_name);
    }
    return error;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Add the files below PATH of the folder ROOT; PATH may be "". */
static int walk(int root, const char *path, struct files *files)
{
    struct files folders = {0};
    int error = 0;

    for (size_t i = 0; !error && i <= folders.count; i++) {
        const char *at = i == 0 ? path : folders.paths[i - 1];
        int opened = openat(root, *at ? at + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = opened >= 0 ? fdopendir(opened) : NULL;

        if (folder) {
            error = read_folder(folder, at, &folders, files);
            closedir(folder);
        } else if (opened >= 0) {
            close(opened);
        }
    }
    files_free(&folders);
    return error;
}

/* The folder of the running program. */
static char *program_folder(void)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash;

    if (size <= 0)
        return strdup(".");
    path[size] = '\0';
    slash = strrchr(path, '/');
    if (slash && slash != path)
        *slash = '\0';
    return strdup(path);
}

int files_find(const char *folder, struct files *files, char **ret_folder)
{
    bool is_here = access("include/anysync.h", R_OK) == 0;
    char *taken = folder ? strdup(folder) : is_here ? strdup(".") : program_folder();
    int root = taken ? open(taken, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int error = 0;

    memset(files, 0, sizeof *files);
    if (root < 0)
        error = anysync_fail(
                -errno, "cannot read folder %s: %s", taken ? taken : "", strerror(errno));
    for (size_t i = 0; !error && i < sizeof project_folders / sizeof *project_folders; i++)
        error = walk(root, project_folders[i], files);
    if (!error && files->count == 0)
        error = walk(root, "", files);
    if (!error && files->count == 0)
        error = anysync_fail(-ENOENT, "there are no files in folder %s", taken);
    if (root >= 0)
        close(root);
    if (error) {
        files_free(files);
        free(taken);
        return error;
    }
    qsort(files->paths, files->count, sizeof *files->paths, compare_paths);
    *ret_folder = taken;
    return 0;
}

void files_free(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    memset(files, 0, sizeof *files);
}
