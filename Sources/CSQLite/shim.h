#include <sqlite3.h>

/* Swift cannot call C functions with variable arguments. */
static inline int mynah_sqlite3_db_config(sqlite3 *database, int option, int value) {
    return sqlite3_db_config(database, option, value, (int *)0);
}

#if defined(__linux__)
#include <sys/vfs.h>

/* Swift's Glibc leaves statfs out. The magic number of the file system that `path` is on; 0 where
   it cannot be told. */
static inline unsigned int mynah_file_system_magic(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 ? (unsigned int)status.f_type : 0;
}
#endif
