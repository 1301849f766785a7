/* load.c: libtutti.so is found at run time: by $TUTTI_LIB, or beside this extension, or in the folder
 * lib beside the folder of the Python packages. It is never unloaded: a Go runtime cannot be. */
#define _GNU_SOURCE
#include "_mpi.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct library lib;

static int is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* beside gives the first library there is, seen from the folder of this extension. */
static int beside(char *out, size_t room) {
    static const char *const places[] = {"libtutti.so", "../../lib/libtutti.so", "../../libtutti.so"};
    Dl_info me;
    if (!dladdr((void *)&lib, &me) || !me.dli_fname) return 0;
    const char *slash = strrchr(me.dli_fname, '/');
    int n = slash ? (int)(slash - me.dli_fname) : 1;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int len = snprintf(out, room, "%.*s/%s", n, slash ? me.dli_fname : ".", places[i]);
        if (len > 0 && (size_t)len < room && is_file(out)) return 1;
    }
    return 0;
}

int load(const char *path) {
    char found[PATH_MAX];
    if (!path || !*path) {
        if (!beside(found, sizeof found)) {
            PyErr_SetString(PyExc_ImportError, "libtutti.so does not lie beside tutti/_mpi.abi3.so: build both with `make lib`, or set TUTTI_LIB to its path");
            return -1;
        }
        path = found;
    }
    void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!h) {
        PyErr_Format(PyExc_ImportError, "libtutti.so cannot be loaded: %s", dlerror());
        return -1;
    }
#define X(f) \
    if (!(lib.f = (__typeof__(f) *)dlsym(h, #f))) { \
        PyErr_Format(PyExc_ImportError, "%s has no function %s: it belongs to another version of tutti", path, #f); \
        return -1; \
    }
    FUNCTIONS(X)
#undef X
    return 0;
}
