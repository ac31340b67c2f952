#include <sqlite3.h>

/* Swift cannot call C functions with variable arguments. */
static inline int mynah_sqlite3_db_config(sqlite3 *database, int option, int value) {
    return sqlite3_db_config(database, option, value, (int *)0);
}
