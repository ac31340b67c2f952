// Long, because it is recorded data: one list, word for word as psql sent it.

extension RecordedStatement {
    /// Sent by psql 15 for its backslash commands; columns, types and (where not nil) rows are
    /// PostgreSQL 15's own answer.
    static let psql: [RecordedStatement] = [
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                WHERE c.relkind IN ('r','p','v','m','S','f','')
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
            ],
            rows: [
                ["public", "authors", "table", "postgres"],
                ["public", "books", "table", "postgres"],
                ["public", "cheap_books", "view", "postgres"],
                ["public", "tags", "table", "postgres"],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('v','')
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
            ],
            rows: [["public", "cheap_books", "view", "postgres"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
                  c2.relname as "Table"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
                     LEFT JOIN pg_catalog.pg_class c2 ON i.indrelid = c2.oid
                WHERE c.relkind IN ('i','I','')
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
                .init("Table", 19),
            ],
            rows: [
                ["public", "authors_email_key", "index", "postgres", "authors"],
                ["public", "authors_pkey", "index", "postgres", "authors"],
                ["public", "books_author_idx", "index", "postgres", "books"],
                ["public", "books_pkey", "index", "postgres", "books"],
                ["public", "books_title_key", "index", "postgres", "books"],
                ["public", "tags_pkey", "index", "postgres", "tags"],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname AS "Name",
                  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
                FROM pg_catalog.pg_namespace n
                WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                ORDER BY 1;
                """#,
            columns: [.init("Name", 19), .init("Owner", 19)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT d.datname as "Name",
                       pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
                       pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
                       d.datcollate as "Collate",
                       d.datctype as "Ctype",
                       d.daticulocale as "ICU Locale",
                       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Locale Provider",
                       pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges"
                FROM pg_catalog.pg_database d
                ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Owner", 19), .init("Encoding", 19), .init("Collate", 25),
                .init("Ctype", 25), .init("ICU Locale", 25), .init("Locale Provider", 25),
                .init("Access privileges", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT r.rolname, r.rolsuper, r.rolinherit,
                  r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
                  r.rolconnlimit, r.rolvaliduntil,
                  ARRAY(SELECT b.rolname
                        FROM pg_catalog.pg_auth_members m
                        JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)
                        WHERE m.member = r.oid) as memberof
                , r.rolreplication
                , r.rolbypassrls
                FROM pg_catalog.pg_roles r
                WHERE r.rolname !~ '^pg_'
                ORDER BY 1;
                """#,
            columns: [
                .init("rolname", 19), .init("rolsuper", 16), .init("rolinherit", 16),
                .init("rolcreaterole", 16), .init("rolcreatedb", 16), .init("rolcanlogin", 16),
                .init("rolconnlimit", 23), .init("rolvaliduntil", 1184), .init("memberof", 1003),
                .init("rolreplication", 16), .init("rolbypassrls", 16),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  p.proname as "Name",
                  pg_catalog.pg_get_function_result(p.oid) as "Result data type",
                  pg_catalog.pg_get_function_arguments(p.oid) as "Argument data types",
                 CASE p.prokind
                  WHEN 'a' THEN 'agg'
                  WHEN 'w' THEN 'window'
                  WHEN 'p' THEN 'proc'
                  ELSE 'func'
                 END as "Type"
                FROM pg_catalog.pg_proc p
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                WHERE pg_catalog.pg_function_is_visible(p.oid)
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                ORDER BY 1, 2, 4;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Result data type", 25),
                .init("Argument data types", 25), .init("Type", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.oid,
                  n.nspname,
                  c.relname
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relname OPERATOR(pg_catalog.~) '^(books)$' COLLATE pg_catalog.default
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 2, 3;
                """#,
            columns: [.init("oid", 26), .init("nspname", 19), .init("relname", 19)],
            rows: [["{books}", "public", "books"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, '', c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
                FROM pg_catalog.pg_class c
                 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
                LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
                WHERE c.oid = '{books}';
                """#,
            columns: [
                .init("relchecks", 21), .init("relkind", 18), .init("relhasindex", 16),
                .init("relhasrules", 16), .init("relhastriggers", 16), .init("relrowsecurity", 16),
                .init("relforcerowsecurity", 16), .init("relhasoids", 16),
                .init("relispartition", 16), .init("?column?", 25), .init("reltablespace", 26),
                .init("reloftype", 25), .init("relpersistence", 18), .init("relreplident", 18),
                .init("amname", 19),
            ],
            rows: [["0", "r", "t", "f", "t", "f", "f", "f", "f", "", "0", "", "p", "d", "heap"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname,
                  pg_catalog.format_type(a.atttypid, a.atttypmod),
                  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
                   FROM pg_catalog.pg_attrdef d
                   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
                  a.attnotnull,
                  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
                   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
                  a.attidentity,
                  a.attgenerated
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = '{books}' AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum;
                """#,
            columns: [
                .init("attname", 19), .init("format_type", 25), .init("pg_get_expr", 25),
                .init("attnotnull", 16), .init("attcollation", 19), .init("attidentity", 18),
                .init("attgenerated", 18),
            ],
            rows: [
                ["id", "bigint", nil, "t", nil, "", ""],
                ["author_id", "bigint", nil, "t", nil, "", ""],
                ["title", "text", nil, "t", nil, "", ""],
                ["price", "numeric(10,2)", "0", "f", nil, "", ""],
                ["created_at", "timestamp without time zone", nil, "f", nil, "", ""],
                ["rating", "double precision", nil, "f", nil, "", ""],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c2.relname, i.indisprimary, i.indisunique, i.indisclustered, i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true),
                  pg_catalog.pg_get_constraintdef(con.oid, true), contype, condeferrable, condeferred, i.indisreplident, c2.reltablespace
                FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i
                  LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x'))
                WHERE c.oid = '{books}' AND c.oid = i.indrelid AND i.indexrelid = c2.oid
                ORDER BY i.indisprimary DESC, c2.relname;
                """#,
            columns: [
                .init("relname", 19), .init("indisprimary", 16), .init("indisunique", 16),
                .init("indisclustered", 16), .init("indisvalid", 16), .init("pg_get_indexdef", 25),
                .init("pg_get_constraintdef", 25), .init("contype", 18), .init("condeferrable", 16),
                .init("condeferred", 16), .init("indisreplident", 16), .init("reltablespace", 26),
            ],
            rows: [
                [
                    "books_pkey", "t", "t", "f", "t",
                    "CREATE UNIQUE INDEX books_pkey ON books USING btree (id)", "PRIMARY KEY (id)",
                    "p", "f", "f", "f", "0",
                ],
                [
                    "books_author_idx", "f", "f", "f", "t",
                    "CREATE INDEX books_author_idx ON books USING btree (author_id)", nil, nil, nil,
                    nil, "f", "0",
                ],
                [
                    "books_title_key", "f", "t", "f", "t",
                    "CREATE UNIQUE INDEX books_title_key ON books USING btree (author_id, title)",
                    nil, nil, nil, nil, "f", "0",
                ],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT true as sametable, conname,
                  pg_catalog.pg_get_constraintdef(r.oid, true) as condef,
                  conrelid::pg_catalog.regclass AS ontable
                FROM pg_catalog.pg_constraint r
                WHERE r.conrelid = '{books}' AND r.contype = 'f'
                     AND conparentid = 0
                ORDER BY conname
                """#,
            columns: [
                .init("sametable", 16), .init("conname", 19), .init("condef", 25),
                .init("ontable", 2205),
            ],
            rows: [
                [
                    "t", "books_author_id_fkey",
                    "FOREIGN KEY (author_id) REFERENCES authors(id) ON DELETE CASCADE", "books",
                ]
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT conname, conrelid::pg_catalog.regclass AS ontable,
                       pg_catalog.pg_get_constraintdef(oid, true) AS condef
                  FROM pg_catalog.pg_constraint c
                 WHERE confrelid IN (SELECT pg_catalog.pg_partition_ancestors('{books}')
                                     UNION ALL VALUES ('{books}'::pg_catalog.regclass))
                       AND contype = 'f' AND conparentid = 0
                ORDER BY conname;
                """#,
            columns: [.init("conname", 19), .init("ontable", 2205), .init("condef", 25)],
            rows: [["tags_book_id_fkey", "tags", "FOREIGN KEY (book_id) REFERENCES books(id)"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pol.polname, pol.polpermissive,
                  CASE WHEN pol.polroles = '{0}' THEN NULL ELSE pg_catalog.array_to_string(array(select rolname from pg_catalog.pg_roles where oid = any (pol.polroles) order by 1),',') END,
                  pg_catalog.pg_get_expr(pol.polqual, pol.polrelid),
                  pg_catalog.pg_get_expr(pol.polwithcheck, pol.polrelid),
                  CASE pol.polcmd
                    WHEN 'r' THEN 'SELECT'
                    WHEN 'a' THEN 'INSERT'
                    WHEN 'w' THEN 'UPDATE'
                    WHEN 'd' THEN 'DELETE'
                    END AS cmd
                FROM pg_catalog.pg_policy pol
                WHERE pol.polrelid = '{books}' ORDER BY 1;
                """#,
            columns: [
                .init("polname", 19), .init("polpermissive", 16), .init("array_to_string", 25),
                .init("pg_get_expr", 25), .init("pg_get_expr", 25), .init("cmd", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT oid, stxrelid::pg_catalog.regclass, stxnamespace::pg_catalog.regnamespace::pg_catalog.text AS nsp, stxname,
                pg_catalog.pg_get_statisticsobjdef_columns(oid) AS columns,
                  'd' = any(stxkind) AS ndist_enabled,
                  'f' = any(stxkind) AS deps_enabled,
                  'm' = any(stxkind) AS mcv_enabled,
                stxstattarget
                FROM pg_catalog.pg_statistic_ext
                WHERE stxrelid = '{books}'
                ORDER BY nsp, stxname;
                """#,
            columns: [
                .init("oid", 26), .init("stxrelid", 2205), .init("nsp", 25), .init("stxname", 19),
                .init("columns", 25), .init("ndist_enabled", 16), .init("deps_enabled", 16),
                .init("mcv_enabled", 16), .init("stxstattarget", 23),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pubname
                     , NULL
                     , NULL
                FROM pg_catalog.pg_publication p
                     JOIN pg_catalog.pg_publication_namespace pn ON p.oid = pn.pnpubid
                     JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.pnnspid
                WHERE pc.oid ='{books}' and pg_catalog.pg_relation_is_publishable('{books}')
                UNION
                SELECT pubname
                     , pg_get_expr(pr.prqual, c.oid)
                     , (CASE WHEN pr.prattrs IS NOT NULL THEN
                         (SELECT string_agg(attname, ', ')
                           FROM pg_catalog.generate_series(0, pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s,
                                pg_catalog.pg_attribute
                          WHERE attrelid = pr.prrelid AND attnum = prattrs[s])
                        ELSE NULL END) FROM pg_catalog.pg_publication p
                     JOIN pg_catalog.pg_publication_rel pr ON p.oid = pr.prpubid
                     JOIN pg_catalog.pg_class c ON c.oid = pr.prrelid
                WHERE pr.prrelid = '{books}'
                UNION
                SELECT pubname
                     , NULL
                     , NULL
                FROM pg_catalog.pg_publication p
                WHERE p.puballtables AND pg_catalog.pg_relation_is_publishable('{books}')
                ORDER BY 1;
                """#,
            columns: [.init("pubname", 19), .init("?column?", 25), .init("?column?", 25)],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT t.tgname, pg_catalog.pg_get_triggerdef(t.oid, true), t.tgenabled, t.tgisinternal,
                  CASE WHEN t.tgparentid != 0 THEN
                    (SELECT u.tgrelid::pg_catalog.regclass
                     FROM pg_catalog.pg_trigger AS u,
                          pg_catalog.pg_partition_ancestors(t.tgrelid) WITH ORDINALITY AS a(relid, depth)
                     WHERE u.tgname = t.tgname AND u.tgrelid = a.relid
                           AND u.tgparentid = 0
                     ORDER BY a.depth LIMIT 1)
                  END AS parent
                FROM pg_catalog.pg_trigger t
                WHERE t.tgrelid = '{books}' AND (NOT t.tgisinternal OR (t.tgisinternal AND t.tgenabled = 'D'))
                ORDER BY 1;
                """#,
            columns: [
                .init("tgname", 19), .init("pg_get_triggerdef", 25), .init("tgenabled", 18),
                .init("tgisinternal", 16), .init("parent", 2205),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.oid::pg_catalog.regclass
                FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
                WHERE c.oid = i.inhparent AND i.inhrelid = '{books}'
                  AND c.relkind != 'p' AND c.relkind != 'I'
                ORDER BY inhseqno;
                """#,
            columns: [.init("oid", 2205)],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.oid::pg_catalog.regclass, c.relkind, inhdetachpending, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
                FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i
                WHERE c.oid = i.inhrelid AND i.inhparent = '{books}'
                ORDER BY pg_catalog.pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT', c.oid::pg_catalog.regclass::pg_catalog.text;
                """#,
            columns: [
                .init("oid", 2205), .init("relkind", 18), .init("inhdetachpending", 16),
                .init("pg_get_expr", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname,
                  pg_catalog.format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attnum <= (SELECT i.indnkeyatts FROM pg_catalog.pg_index i WHERE i.indexrelid = '{books_author_idx}') THEN 'yes' ELSE 'no' END AS is_key,
                  pg_catalog.pg_get_indexdef(a.attrelid, a.attnum, TRUE) AS indexdef
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = '{books_author_idx}' AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum;
                """#,
            columns: [
                .init("attname", 19), .init("format_type", 25), .init("is_key", 25),
                .init("indexdef", 25),
            ],
            rows: [["author_id", "bigint", "yes", "author_id"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT i.indisunique, i.indisprimary, i.indisclustered, i.indisvalid,
                  (NOT i.indimmediate) AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x') AND condeferrable) AS condeferrable,
                  (NOT i.indimmediate) AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x') AND condeferred) AS condeferred,
                i.indisreplident,
                i.indnullsnotdistinct,
                  a.amname, c2.relname, pg_catalog.pg_get_expr(i.indpred, i.indrelid, true)
                FROM pg_catalog.pg_index i, pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_am a
                WHERE i.indexrelid = c.oid AND c.oid = '{books_author_idx}' AND c.relam = a.oid
                AND i.indrelid = c2.oid;
                """#,
            columns: [
                .init("indisunique", 16), .init("indisprimary", 16), .init("indisclustered", 16),
                .init("indisvalid", 16), .init("condeferrable", 16), .init("condeferred", 16),
                .init("indisreplident", 16), .init("indnullsnotdistinct", 16), .init("amname", 19),
                .init("relname", 19), .init("pg_get_expr", 25),
            ],
            rows: [["f", "f", "f", "t", "f", "f", "f", "f", "btree", "books", nil]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, false AS relhasoids, c.relispartition, pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ')
                , c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname
                FROM pg_catalog.pg_class c
                 LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid)
                LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid)
                WHERE c.oid = '{books}';
                """#,
            columns: [
                .init("relchecks", 21), .init("relkind", 18), .init("relhasindex", 16),
                .init("relhasrules", 16), .init("relhastriggers", 16), .init("relrowsecurity", 16),
                .init("relforcerowsecurity", 16), .init("relhasoids", 16),
                .init("relispartition", 16), .init("array_to_string", 25),
                .init("reltablespace", 26), .init("reloftype", 25), .init("relpersistence", 18),
                .init("relreplident", 18), .init("amname", 19),
            ],
            rows: [["0", "r", "t", "f", "t", "f", "f", "f", "f", "", "0", "", "p", "d", "heap"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname,
                  pg_catalog.format_type(a.atttypid, a.atttypmod),
                  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
                   FROM pg_catalog.pg_attrdef d
                   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
                  a.attnotnull,
                  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
                   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
                  a.attidentity,
                  a.attgenerated,
                  a.attstorage,
                  a.attcompression AS attcompression,
                  CASE WHEN a.attstattarget=-1 THEN NULL ELSE a.attstattarget END AS attstattarget,
                  pg_catalog.col_description(a.attrelid, a.attnum)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = '{books}' AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum;
                """#,
            columns: [
                .init("attname", 19), .init("format_type", 25), .init("pg_get_expr", 25),
                .init("attnotnull", 16), .init("attcollation", 19), .init("attidentity", 18),
                .init("attgenerated", 18), .init("attstorage", 18), .init("attcompression", 18),
                .init("attstattarget", 23), .init("col_description", 25),
            ],
            rows: [
                ["id", "bigint", nil, "t", nil, "", "", "p", "", nil, nil],
                ["author_id", "bigint", nil, "t", nil, "", "", "p", "", nil, nil],
                ["title", "text", nil, "t", nil, "", "", "x", "", nil, nil],
                ["price", "numeric(10,2)", "0", "f", nil, "", "", "m", "", nil, nil],
                [
                    "created_at", "timestamp without time zone", nil, "f", nil, "", "", "p", "",
                    nil, nil,
                ], ["rating", "double precision", nil, "f", nil, "", "", "p", "", nil, nil],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname,
                  pg_catalog.format_type(a.atttypid, a.atttypmod),
                  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)
                   FROM pg_catalog.pg_attrdef d
                   WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
                  a.attnotnull,
                  (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
                   WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation,
                  a.attidentity,
                  a.attgenerated,
                  a.attstorage,
                  pg_catalog.col_description(a.attrelid, a.attnum)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = '{cheap_books}' AND a.attnum > 0 AND NOT a.attisdropped
                ORDER BY a.attnum;
                """#,
            columns: [
                .init("attname", 19), .init("format_type", 25), .init("pg_get_expr", 25),
                .init("attnotnull", 16), .init("attcollation", 19), .init("attidentity", 18),
                .init("attgenerated", 18), .init("attstorage", 18), .init("col_description", 25),
            ],
            rows: [
                ["id", "bigint", nil, "f", nil, "", "", "p", nil],
                ["title", "text", nil, "f", nil, "", "", "x", nil],
                ["price", "numeric(10,2)", nil, "f", nil, "", "", "m", nil],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pg_catalog.pg_get_viewdef('{cheap_books}'::pg_catalog.oid, true);
                """#,
            columns: [.init("pg_get_viewdef", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
                  CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 't' THEN 'temporary' WHEN 'u' THEN 'unlogged' END as "Persistence",
                  am.amname as "Access method",
                  pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as "Size",
                  pg_catalog.obj_description(c.oid, 'pg_class') as "Description"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                WHERE c.relkind IN ('r','p','')
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
                .init("Persistence", 25), .init("Access method", 19), .init("Size", 25),
                .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
                  CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 't' THEN 'temporary' WHEN 'u' THEN 'unlogged' END as "Persistence",
                  pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as "Size",
                  pg_catalog.obj_description(c.oid, 'pg_class') as "Description"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('v','')
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
                .init("Persistence", 25), .init("Size", 25), .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
                  c2.relname as "Table",
                  CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 't' THEN 'temporary' WHEN 'u' THEN 'unlogged' END as "Persistence",
                  am.amname as "Access method",
                  pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as "Size",
                  pg_catalog.obj_description(c.oid, 'pg_class') as "Description"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
                     LEFT JOIN pg_catalog.pg_class c2 ON i.indrelid = c2.oid
                WHERE c.relkind IN ('i','I','')
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
                .init("Table", 19), .init("Persistence", 25), .init("Access method", 19),
                .init("Size", 25), .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT d.datname as "Name",
                       pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
                       pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
                       d.datcollate as "Collate",
                       d.datctype as "Ctype",
                       d.daticulocale as "ICU Locale",
                       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Locale Provider",
                       pg_catalog.array_to_string(d.datacl, E'\n') AS "Access privileges",
                       CASE WHEN pg_catalog.has_database_privilege(d.datname, 'CONNECT')
                          OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                            THEN pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(d.datname))
                            ELSE 'No Access'
                       END as "Size",
                       t.spcname as "Tablespace",
                       pg_catalog.shobj_description(d.oid, 'pg_database') as "Description"
                FROM pg_catalog.pg_database d
                  JOIN pg_catalog.pg_tablespace t on d.dattablespace = t.oid
                ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Owner", 19), .init("Encoding", 19), .init("Collate", 25),
                .init("Ctype", 25), .init("ICU Locale", 25), .init("Locale Provider", 25),
                .init("Access privileges", 25), .init("Size", 25), .init("Tablespace", 19),
                .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname AS "Name",
                  pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner",
                  pg_catalog.array_to_string(n.nspacl, E'\n') AS "Access privileges",
                  pg_catalog.obj_description(n.oid, 'pg_namespace') AS "Description"
                FROM pg_catalog.pg_namespace n
                WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Owner", 19), .init("Access privileges", 25),
                .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT r.rolname, r.rolsuper, r.rolinherit,
                  r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
                  r.rolconnlimit, r.rolvaliduntil,
                  ARRAY(SELECT b.rolname
                        FROM pg_catalog.pg_auth_members m
                        JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)
                        WHERE m.member = r.oid) as memberof
                , pg_catalog.shobj_description(r.oid, 'pg_authid') AS description
                , r.rolreplication
                , r.rolbypassrls
                FROM pg_catalog.pg_roles r
                WHERE r.rolname !~ '^pg_'
                ORDER BY 1;
                """#,
            columns: [
                .init("rolname", 19), .init("rolsuper", 16), .init("rolinherit", 16),
                .init("rolcreaterole", 16), .init("rolcreatedb", 16), .init("rolcanlogin", 16),
                .init("rolconnlimit", 23), .init("rolvaliduntil", 1184), .init("memberof", 1003),
                .init("description", 25), .init("rolreplication", 16), .init("rolbypassrls", 16),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                WHERE c.relkind IN ('r','p','t','s','')
                  AND c.relname OPERATOR(pg_catalog.~) '^(books)$' COLLATE pg_catalog.default
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
            ],
            rows: [["public", "books", "table", "postgres"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                WHERE c.relkind IN ('r','p','t','s','')
                  AND n.nspname OPERATOR(pg_catalog.~) '^(public)$' COLLATE pg_catalog.default
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
            ],
            rows: [
                ["public", "authors", "table", "postgres"],
                ["public", "books", "table", "postgres"], ["public", "tags", "table", "postgres"],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
                WHERE c.relkind IN ('r','p','t','s','')
                  AND c.relname OPERATOR(pg_catalog.~) '^(books)$' COLLATE pg_catalog.default
                ORDER BY 1,2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Owner", 19),
            ],
            rows: [["public", "books", "table", "postgres"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.oid,
                  n.nspname,
                  c.relname
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relname OPERATOR(pg_catalog.~) '^(books)$' COLLATE pg_catalog.default
                  AND n.nspname OPERATOR(pg_catalog.~) '^(public)$' COLLATE pg_catalog.default
                ORDER BY 2, 3;
                """#,
            columns: [.init("oid", 26), .init("nspname", 19), .init("relname", 19)],
            rows: [["{books}", "public", "books"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  pg_catalog.format_type(t.oid, NULL) AS "Name",
                  pg_catalog.obj_description(t.oid, 'pg_type') as "Description"
                FROM pg_catalog.pg_type t
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
                WHERE (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))
                  AND NOT EXISTS(SELECT 1 FROM pg_catalog.pg_type el WHERE el.oid = t.typelem AND el.typarray = t.oid)
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_type_is_visible(t.oid)
                ORDER BY 1, 2;
                """#,
            columns: [.init("Schema", 19), .init("Name", 25), .init("Description", 25)],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT e.extname AS "Name", e.extversion AS "Version", n.nspname AS "Schema", c.description AS "Description"
                FROM pg_catalog.pg_extension e LEFT JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace LEFT JOIN pg_catalog.pg_description c ON c.objoid = e.oid AND c.classoid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Version", 25), .init("Schema", 19),
                .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' END as "Type",
                  pg_catalog.array_to_string(c.relacl, E'\n') AS "Access privileges",
                  pg_catalog.array_to_string(ARRAY(
                    SELECT attname || E':\n  ' || pg_catalog.array_to_string(attacl, E'\n  ')
                    FROM pg_catalog.pg_attribute a
                    WHERE attrelid = c.oid AND NOT attisdropped AND attacl IS NOT NULL
                  ), E'\n') AS "Column privileges",
                  pg_catalog.array_to_string(ARRAY(
                    SELECT polname
                    || CASE WHEN NOT polpermissive THEN
                       E' (RESTRICTIVE)'
                       ELSE '' END
                    || CASE WHEN polcmd != '*' THEN
                           E' (' || polcmd::pg_catalog.text || E'):'
                       ELSE E':'
                       END
                    || CASE WHEN polqual IS NOT NULL THEN
                           E'\n  (u): ' || pg_catalog.pg_get_expr(polqual, polrelid)
                       ELSE E''
                       END
                    || CASE WHEN polwithcheck IS NOT NULL THEN
                           E'\n  (c): ' || pg_catalog.pg_get_expr(polwithcheck, polrelid)
                       ELSE E''
                       END    || CASE WHEN polroles <> '{0}' THEN
                           E'\n  to: ' || pg_catalog.array_to_string(
                               ARRAY(
                                   SELECT rolname
                                   FROM pg_catalog.pg_roles
                                   WHERE oid = ANY (polroles)
                                   ORDER BY 1
                               ), E', ')
                       ELSE E''
                       END
                    FROM pg_catalog.pg_policy pol
                    WHERE polrelid = c.oid), E'\n')
                    AS "Policies"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r','v','m','S','f','p')
                  AND n.nspname !~ '^pg_' AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY 1, 2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25),
                .init("Access privileges", 25), .init("Column privileges", 25),
                .init("Policies", 25),
            ],
            rows: [
                ["public", "authors", "table", nil, "", ""],
                ["public", "books", "table", nil, "", ""],
                ["public", "cheap_books", "view", nil, "", ""],
                ["public", "tags", "table", nil, "", ""],
            ]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                       t.typname as "Name",
                       pg_catalog.format_type(t.typbasetype, t.typtypmod) as "Type",
                       (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type bt
                        WHERE c.oid = t.typcollation AND bt.oid = t.typbasetype AND t.typcollation <> bt.typcollation) as "Collation",
                       CASE WHEN t.typnotnull THEN 'not null' END as "Nullable",
                       t.typdefault as "Default",
                       pg_catalog.array_to_string(ARRAY(
                         SELECT pg_catalog.pg_get_constraintdef(r.oid, true) FROM pg_catalog.pg_constraint r WHERE t.oid = r.contypid
                       ), ' ') as "Check"
                FROM pg_catalog.pg_type t
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
                WHERE t.typtype = 'd'
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_type_is_visible(t.oid)
                ORDER BY 1, 2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Type", 25), .init("Collation", 19),
                .init("Nullable", 25), .init("Default", 25), .init("Check", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  o.oprname AS "Name",
                  CASE WHEN o.oprkind='l' THEN NULL ELSE pg_catalog.format_type(o.oprleft, NULL) END AS "Left arg type",
                  CASE WHEN o.oprkind='r' THEN NULL ELSE pg_catalog.format_type(o.oprright, NULL) END AS "Right arg type",
                  pg_catalog.format_type(o.oprresult, NULL) AS "Result type",
                  coalesce(pg_catalog.obj_description(o.oid, 'pg_operator'),
                           pg_catalog.obj_description(o.oprcode, 'pg_proc')) AS "Description"
                FROM pg_catalog.pg_operator o
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
                WHERE n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_operator_is_visible(o.oid)
                ORDER BY 1, 2, 3, 4;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Left arg type", 25),
                .init("Right arg type", 25), .init("Result type", 25), .init("Description", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT DISTINCT tt.nspname AS "Schema", tt.name AS "Name", tt.object AS "Object", d.description AS "Description"
                FROM (
                  SELECT pgc.oid as oid, pgc.tableoid AS tableoid,
                  n.nspname as nspname,
                  CAST(pgc.conname AS pg_catalog.text) as name,  CAST('table constraint' AS pg_catalog.text) as object
                  FROM pg_catalog.pg_constraint pgc
                    JOIN pg_catalog.pg_class c ON c.oid = pgc.conrelid
                    LEFT JOIN pg_catalog.pg_namespace n     ON n.oid = c.relnamespace
                WHERE n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                UNION ALL
                  SELECT pgc.oid as oid, pgc.tableoid AS tableoid,
                  n.nspname as nspname,
                  CAST(pgc.conname AS pg_catalog.text) as name,  CAST('domain constraint' AS pg_catalog.text) as object
                  FROM pg_catalog.pg_constraint pgc
                    JOIN pg_catalog.pg_type t ON t.oid = pgc.contypid
                    LEFT JOIN pg_catalog.pg_namespace n     ON n.oid = t.typnamespace
                WHERE n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_type_is_visible(t.oid)
                UNION ALL
                  SELECT o.oid as oid, o.tableoid as tableoid,
                  n.nspname as nspname,
                  CAST(o.opcname AS pg_catalog.text) as name,
                  CAST('operator class' AS pg_catalog.text) as object
                  FROM pg_catalog.pg_opclass o
                    JOIN pg_catalog.pg_am am ON o.opcmethod = am.oid
                    JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_opclass_is_visible(o.oid)
                UNION ALL
                  SELECT opf.oid as oid, opf.tableoid as tableoid,
                  n.nspname as nspname,
                  CAST(opf.opfname AS pg_catalog.text) AS name,
                  CAST('operator family' AS pg_catalog.text) as object
                  FROM pg_catalog.pg_opfamily opf
                    JOIN pg_catalog.pg_am am ON opf.opfmethod = am.oid
                    JOIN pg_catalog.pg_namespace n ON opf.opfnamespace = n.oid
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_opfamily_is_visible(opf.oid)
                UNION ALL
                  SELECT r.oid as oid, r.tableoid as tableoid,
                  n.nspname as nspname,
                  CAST(r.rulename AS pg_catalog.text) as name,  CAST('rule' AS pg_catalog.text) as object
                  FROM pg_catalog.pg_rewrite r
                       JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
                       LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE r.rulename != '_RETURN'
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                UNION ALL
                  SELECT t.oid as oid, t.tableoid as tableoid,
                  n.nspname as nspname,
                  CAST(t.tgname AS pg_catalog.text) as name,  CAST('trigger' AS pg_catalog.text) as object
                  FROM pg_catalog.pg_trigger t
                       JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
                       LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ) AS tt
                  JOIN pg_catalog.pg_description d ON (tt.oid = d.objoid AND tt.tableoid = d.classoid AND d.objsubid = 0)
                ORDER BY 1, 2, 3;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 25), .init("Object", 25),
                .init("Description", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pg_catalog.format_type(castsource, NULL) AS "Source type",
                       pg_catalog.format_type(casttarget, NULL) AS "Target type",
                       CASE WHEN c.castmethod = 'b' THEN '(binary coercible)'
                            WHEN c.castmethod = 'i' THEN '(with inout)'
                            ELSE p.proname
                       END AS "Function",
                       CASE WHEN c.castcontext = 'e' THEN 'no'
                            WHEN c.castcontext = 'a' THEN 'in assignment'
                            ELSE 'yes'
                       END AS "Implicit?"
                FROM pg_catalog.pg_cast c LEFT JOIN pg_catalog.pg_proc p
                     ON c.castfunc = p.oid
                     LEFT JOIN pg_catalog.pg_type ts
                     ON c.castsource = ts.oid
                     LEFT JOIN pg_catalog.pg_namespace ns
                     ON ns.oid = ts.typnamespace
                     LEFT JOIN pg_catalog.pg_type tt
                     ON c.casttarget = tt.oid
                     LEFT JOIN pg_catalog.pg_namespace nt
                     ON nt.oid = tt.typnamespace
                WHERE ( (true  AND pg_catalog.pg_type_is_visible(ts.oid)
                ) OR (true  AND pg_catalog.pg_type_is_visible(tt.oid)
                ) )
                ORDER BY 1, 2;
                """#,
            columns: [
                .init("Source type", 25), .init("Target type", 25), .init("Function", 19),
                .init("Implicit?", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT spcname AS "Name",
                  pg_catalog.pg_get_userbyid(spcowner) AS "Owner",
                  pg_catalog.pg_tablespace_location(oid) AS "Location"
                FROM pg_catalog.pg_tablespace
                ORDER BY 1;
                """#,
            columns: [.init("Name", 19), .init("Owner", 19), .init("Location", 25)],
            rows: [["pg_default", "postgres", ""], ["pg_global", "postgres", ""]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  p.proname AS "Name",
                  pg_catalog.format_type(p.prorettype, NULL) AS "Result data type",
                  CASE WHEN p.pronargs = 0
                    THEN CAST('*' AS pg_catalog.text)
                    ELSE pg_catalog.pg_get_function_arguments(p.oid)
                  END AS "Argument data types",
                  pg_catalog.obj_description(p.oid, 'pg_proc') as "Description"
                FROM pg_catalog.pg_proc p
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                WHERE p.prokind = 'a'
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_function_is_visible(p.oid)
                ORDER BY 1, 2, 4;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Result data type", 25),
                .init("Argument data types", 25), .init("Description", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT evtname as "Name", evtevent as "Event", pg_catalog.pg_get_userbyid(e.evtowner) as "Owner",
                 case evtenabled when 'O' then 'enabled'  when 'R' then 'replica'  when 'A' then 'always'  when 'D' then 'disabled' end as "Enabled",
                 e.evtfoid::pg_catalog.regproc as "Function", pg_catalog.array_to_string(array(select x from pg_catalog.unnest(evttags) as t(x)), ', ') as "Tags"
                FROM pg_catalog.pg_event_trigger e ORDER BY 1
                """#,
            columns: [
                .init("Name", 19), .init("Event", 19), .init("Owner", 19), .init("Enabled", 25),
                .init("Function", 24), .init("Tags", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT s.srvname AS "Name",
                  pg_catalog.pg_get_userbyid(s.srvowner) AS "Owner",
                  f.fdwname AS "Foreign-data wrapper"
                FROM pg_catalog.pg_foreign_server s
                     JOIN pg_catalog.pg_foreign_data_wrapper f ON f.oid=s.srvfdw
                ORDER BY 1;
                """#,
            columns: [.init("Name", 19), .init("Owner", 19), .init("Foreign-data wrapper", 19)],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT
                   n.nspname as "Schema",
                   c.cfgname as "Name",
                   pg_catalog.obj_description(c.oid, 'pg_ts_config') as "Description"
                FROM pg_catalog.pg_ts_config c
                LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace
                WHERE pg_catalog.pg_ts_config_is_visible(c.oid)
                ORDER BY 1, 2;
                """#,
            columns: [.init("Schema", 19), .init("Name", 19), .init("Description", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT s.name AS "Parameter", pg_catalog.current_setting(s.name) AS "Value"
                FROM pg_catalog.pg_settings s
                WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.~) '^(work_mem)$' COLLATE pg_catalog.default
                ORDER BY 1;
                """#,
            columns: [.init("Parameter", 25), .init("Value", 25)],
            rows: [["work_mem", "4MB"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT 'cheap_books'::pg_catalog.regclass::pg_catalog.oid
                """#,
            columns: [.init("oid", 26)],
            rows: [["{cheap_books}"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT nspname, relname, relkind, pg_catalog.pg_get_viewdef(c.oid, true), pg_catalog.array_remove(pg_catalog.array_remove(c.reloptions,'check_option=local'),'check_option=cascaded') AS reloptions, CASE WHEN 'check_option=local' = ANY (c.reloptions) THEN 'LOCAL'::text WHEN 'check_option=cascaded' = ANY (c.reloptions) THEN 'CASCADED'::text ELSE NULL END AS checkoption FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON c.relnamespace = n.oid WHERE c.oid = {cheap_books}
                """#,
            columns: [
                .init("nspname", 19), .init("relname", 19), .init("relkind", 18),
                .init("pg_get_viewdef", 25), .init("reloptions", 1009), .init("checkoption", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT rolname AS "Role", datname AS "Database",
                pg_catalog.array_to_string(setconfig, E'\n') AS "Settings"
                FROM pg_catalog.pg_db_role_setting s
                LEFT JOIN pg_catalog.pg_database d ON d.oid = setdatabase
                LEFT JOIN pg_catalog.pg_roles r ON r.oid = setrole
                ORDER BY 1, 2;
                """#,
            columns: [.init("Role", 19), .init("Database", 19), .init("Settings", 25)],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pg_catalog.pg_get_userbyid(d.defaclrole) AS "Owner",
                  n.nspname AS "Schema",
                  CASE d.defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'function' WHEN 'T' THEN 'type' WHEN 'n' THEN 'schema' END AS "Type",
                  pg_catalog.array_to_string(d.defaclacl, E'\n') AS "Access privileges"
                FROM pg_catalog.pg_default_acl d
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
                ORDER BY 1, 2, 3;
                """#,
            columns: [
                .init("Owner", 19), .init("Schema", 19), .init("Type", 25),
                .init("Access privileges", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname AS "Schema",
                       c.collname AS "Name",
                       c.collcollate AS "Collate",
                       c.collctype AS "Ctype",
                       c.colliculocale AS "ICU Locale",
                       CASE c.collprovider WHEN 'd' THEN 'default' WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' END AS "Provider",
                       CASE WHEN c.collisdeterministic THEN 'yes' ELSE 'no' END AS "Deterministic?"
                FROM pg_catalog.pg_collation c, pg_catalog.pg_namespace n
                WHERE n.oid = c.collnamespace
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                      AND c.collencoding IN (-1, pg_catalog.pg_char_to_encoding(pg_catalog.getdatabaseencoding()))
                  AND pg_catalog.pg_collation_is_visible(c.oid)
                ORDER BY 1, 2;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Collate", 25), .init("Ctype", 25),
                .init("ICU Locale", 25), .init("Provider", 25), .init("Deterministic?", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT l.lanname AS "Name",
                       pg_catalog.pg_get_userbyid(l.lanowner) as "Owner",
                       l.lanpltrusted AS "Trusted",
                       d.description AS "Description"
                FROM pg_catalog.pg_language l
                LEFT JOIN pg_catalog.pg_description d
                  ON d.classoid = l.tableoid AND d.objoid = l.oid
                  AND d.objsubid = 0
                WHERE l.lanplcallfoid != 0
                ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Owner", 19), .init("Trusted", 16),
                .init("Description", 25),
            ],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT amname AS "Name",
                  CASE amtype WHEN 'i' THEN 'Index' WHEN 't' THEN 'Table' END AS "Type"
                FROM pg_catalog.pg_am
                ORDER BY 1;
                """#,
            columns: [.init("Name", 19), .init("Type", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pubname AS "Name",
                  pg_catalog.pg_get_userbyid(pubowner) AS "Owner",
                  puballtables AS "All tables",
                  pubinsert AS "Inserts",
                  pubupdate AS "Updates",
                  pubdelete AS "Deletes",
                  pubtruncate AS "Truncates",
                  pubviaroot AS "Via root"
                FROM pg_catalog.pg_publication
                ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Owner", 19), .init("All tables", 16),
                .init("Inserts", 16), .init("Updates", 16), .init("Deletes", 16),
                .init("Truncates", 16), .init("Via root", 16),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT subname AS "Name"
                ,  pg_catalog.pg_get_userbyid(subowner) AS "Owner"
                ,  subenabled AS "Enabled"
                ,  subpublications AS "Publication"
                FROM pg_catalog.pg_subscription
                WHERE subdbid = (SELECT oid
                                 FROM pg_catalog.pg_database
                                 WHERE datname = pg_catalog.current_database())ORDER BY 1;
                """#,
            columns: [
                .init("Name", 19), .init("Owner", 19), .init("Enabled", 16),
                .init("Publication", 1009),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT
                es.stxnamespace::pg_catalog.regnamespace::pg_catalog.text AS "Schema",
                es.stxname AS "Name",
                pg_catalog.format('%s FROM %s',
                  pg_catalog.pg_get_statisticsobjdef_columns(es.oid),
                  es.stxrelid::pg_catalog.regclass) AS "Definition",
                CASE WHEN 'd' = any(es.stxkind) THEN 'defined'
                END AS "Ndistinct",
                CASE WHEN 'f' = any(es.stxkind) THEN 'defined'
                END AS "Dependencies",
                CASE WHEN 'm' = any(es.stxkind) THEN 'defined'
                END AS "MCV"
                FROM pg_catalog.pg_statistic_ext es
                WHERE pg_catalog.pg_statistics_obj_is_visible(es.oid)
                ORDER BY 1, 2;
                """#,
            columns: [
                .init("Schema", 25), .init("Name", 19), .init("Definition", 25),
                .init("Ndistinct", 25), .init("Dependencies", 25), .init("MCV", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  c.relname as "Name",
                  pg_catalog.pg_get_userbyid(c.relowner) as "Owner",
                  CASE c.relkind WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as "Type",
                 c2.oid::pg_catalog.regclass as "Table"
                FROM pg_catalog.pg_class c
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
                     LEFT JOIN pg_catalog.pg_class c2 ON i.indrelid = c2.oid
                WHERE c.relkind IN ('p','I','')
                 AND NOT c.relispartition
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname !~ '^pg_toast'
                      AND n.nspname <> 'information_schema'
                  AND pg_catalog.pg_table_is_visible(c.oid)
                ORDER BY "Schema", "Type" DESC, "Name";
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Owner", 19), .init("Type", 25),
                .init("Table", 2205),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  p.proname as "Name",
                  pg_catalog.pg_get_function_result(p.oid) as "Result data type",
                  pg_catalog.pg_get_function_arguments(p.oid) as "Argument data types",
                 CASE p.prokind
                  WHEN 'a' THEN 'agg'
                  WHEN 'w' THEN 'window'
                  WHEN 'p' THEN 'proc'
                  ELSE 'func'
                 END as "Type",
                 CASE
                  WHEN p.provolatile = 'i' THEN 'immutable'
                  WHEN p.provolatile = 's' THEN 'stable'
                  WHEN p.provolatile = 'v' THEN 'volatile'
                 END as "Volatility",
                 CASE
                  WHEN p.proparallel = 'r' THEN 'restricted'
                  WHEN p.proparallel = 's' THEN 'safe'
                  WHEN p.proparallel = 'u' THEN 'unsafe'
                 END as "Parallel",
                 pg_catalog.pg_get_userbyid(p.proowner) as "Owner",
                 CASE WHEN prosecdef THEN 'definer' ELSE 'invoker' END AS "Security",
                 pg_catalog.array_to_string(p.proacl, E'\n') AS "Access privileges",
                 l.lanname as "Language",
                 COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) as "Source code",
                 pg_catalog.obj_description(p.oid, 'pg_proc') as "Description"
                FROM pg_catalog.pg_proc p
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                     LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang
                WHERE pg_catalog.pg_function_is_visible(p.oid)
                      AND n.nspname <> 'pg_catalog'
                      AND n.nspname <> 'information_schema'
                ORDER BY 1, 2, 4;
                """#,
            columns: [
                .init("Schema", 19), .init("Name", 19), .init("Result data type", 25),
                .init("Argument data types", 25), .init("Type", 25), .init("Volatility", 25),
                .init("Parallel", 25), .init("Owner", 19), .init("Security", 25),
                .init("Access privileges", 25), .init("Language", 19), .init("Source code", 25),
                .init("Description", 25),
            ],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT n.nspname as "Schema",
                  pg_catalog.format_type(t.oid, NULL) AS "Name",
                  pg_catalog.obj_description(t.oid, 'pg_type') as "Description"
                FROM pg_catalog.pg_type t
                     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
                WHERE (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid))
                  AND NOT EXISTS(SELECT 1 FROM pg_catalog.pg_type el WHERE el.oid = t.typelem AND el.typarray = t.oid)
                  AND (t.typname OPERATOR(pg_catalog.~) '^(int4)$' COLLATE pg_catalog.default
                        OR pg_catalog.format_type(t.oid, NULL) OPERATOR(pg_catalog.~) '^(int4)$' COLLATE pg_catalog.default)
                  AND pg_catalog.pg_type_is_visible(t.oid)
                ORDER BY 1, 2;
                """#,
            columns: [.init("Schema", 19), .init("Name", 25), .init("Description", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND (c.relname) LIKE 'bo%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
                UNION ALL
                SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'bo%' AND n.nspname NOT LIKE E'pg\\_%'
                LIMIT 1000
                """#,
            columns: [.init("relname", 19), .init("text", 25)],
            rows: [["books", nil]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname, NULL::pg_catalog.text FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped AND (a.attname) LIKE 'au%' AND c.relname = 'books' AND pg_catalog.pg_table_is_visible(c.oid)
                LIMIT 1000
                """#,
            columns: [.init("attname", 19), .init("text", 25)],
            rows: [["author_id", nil]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE (c.relname) LIKE 'bo%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
                UNION ALL
                SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'bo%' AND n.nspname NOT LIKE E'pg\\_%'
                LIMIT 1000
                """#,
            columns: [.init("relname", 19), .init("text", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE (c.relname) LIKE 'books%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
                UNION ALL
                SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'books%' AND n.nspname NOT LIKE E'pg\\_%'
                LIMIT 1000
                """#,
            columns: [.init("relname", 19), .init("text", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'f', 'v', 'p') AND (c.relname) LIKE '%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
                UNION ALL
                SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE '%' AND n.nspname NOT LIKE E'pg\\_%'
                LIMIT 1000
                """#,
            columns: [.init("relname", 19), .init("text", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT datname FROM pg_catalog.pg_database  WHERE datname LIKE '%'
                LIMIT 1000
                """#,
            columns: [.init("datname", 19)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT pg_catalog.lower(name) FROM pg_catalog.pg_settings  WHERE context IN ('user', 'superuser')    AND pg_catalog.lower(name) LIKE pg_catalog.lower('wor%')
                LIMIT 1000
                """#,
            columns: [.init("lower", 25)],
            rows: [["work_mem"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname, NULL::pg_catalog.text FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped AND (a.attname) LIKE '%' AND c.relname = 'books' AND pg_catalog.pg_table_is_visible(c.oid)
                LIMIT 1000
                """#,
            columns: [.init("attname", 19), .init("text", 25)],
            rows: nil),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT c.relname, n.nspname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND (c.relname) LIKE 'pg\_cl%' AND n.nspname = 'pg_catalog'
                LIMIT 1000
                """#,
            columns: [.init("relname", 19), .init("nspname", 19)],
            rows: [["pg_class", "pg_catalog"]]),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT a.attname, NULL::pg_catalog.text FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped AND (a.attname) LIKE '%' AND c.relname = 'b' AND pg_catalog.pg_table_is_visible(c.oid)
                LIMIT 1000
                """#,
            columns: [.init("attname", 19), .init("text", 25)],
            rows: []),
        RecordedStatement(
            source: "psql",
            sql: #"""
                SELECT t.typname, NULL::pg_catalog.text FROM pg_catalog.pg_type t WHERE (t.typrelid = 0  OR (SELECT c.relkind = 'c'     FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)) AND t.typname !~ '^_' AND (t.typname) LIKE 'in%' AND pg_catalog.pg_type_is_visible(t.oid)
                UNION ALL
                SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'in%' AND n.nspname NOT LIKE E'pg\\_%'
                LIMIT 1000
                """#,
            columns: [.init("typname", 19), .init("text", 25)],
            rows: nil),
    ]
}
