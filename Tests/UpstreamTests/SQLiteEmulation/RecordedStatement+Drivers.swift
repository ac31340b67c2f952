extension RecordedStatement {
    /// Sent by psycopg2, psycopg 3 and asyncpg; columns, types and (where not nil) rows are PostgreSQL 15's own answer.
    static let drivers: [RecordedStatement] = [
        RecordedStatement(
            source: "psycopg2",
            sql: #"""
                SELECT t.oid, typarray
                FROM pg_type t JOIN pg_namespace ns
                    ON typnamespace = ns.oid
                WHERE typname = 'hstore';
                """#,
            columns: [.init("oid", 26), .init("typarray", 26)],
            rows: []),
        RecordedStatement(
            source: "psycopg2",
            sql: #"""
                SELECT t.oid, typarray, attname, atttypid
                FROM pg_type t
                JOIN pg_namespace ns ON typnamespace = ns.oid
                JOIN pg_attribute a ON attrelid = typrelid
                WHERE typname = 'books' AND nspname = 'public'
                    AND attnum > 0 AND NOT attisdropped
                ORDER BY attnum;
                """#,
            columns: [
                .init("oid", 26), .init("typarray", 26), .init("attname", 19),
                .init("atttypid", 26),
            ],
            rows: nil),
        RecordedStatement(
            source: "asyncpg",
            sql: #"""

                                    SELECT
                                        current_setting('jit') AS cur,
                                        set_config('jit', 'off', false) AS new
                """#,
            columns: [.init("cur", 25), .init("new", 25)],
            rows: nil),
        RecordedStatement(
            source: "asyncpg",
            sql: #"""
                WITH RECURSIVE typeinfo_tree(
                    oid, ns, name, kind, basetype, elemtype, elemdelim,
                    range_subtype, attrtypoids, attrnames, depth)
                AS (
                    SELECT
                        ti.oid, ti.ns, ti.name, ti.kind, ti.basetype,
                        ti.elemtype, ti.elemdelim, ti.range_subtype,
                        ti.attrtypoids, ti.attrnames, 0
                    FROM
                            (
                        SELECT
                            t.oid                           AS oid,
                            ns.nspname                      AS ns,
                            t.typname                       AS name,
                            t.typtype                       AS kind,
                            (CASE WHEN t.typtype = 'd' THEN
                                (WITH RECURSIVE typebases(oid, depth) AS (
                                    SELECT
                                        t2.typbasetype      AS oid,
                                        0                   AS depth
                                    FROM
                                        pg_type t2
                                    WHERE
                                        t2.oid = t.oid

                                    UNION ALL

                                    SELECT
                                        t2.typbasetype      AS oid,
                                        tb.depth + 1        AS depth
                                    FROM
                                        pg_type t2,
                                        typebases tb
                                    WHERE
                                       tb.oid = t2.oid
                                       AND t2.typbasetype != 0
                               ) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1)

                               ELSE NULL
                            END)                            AS basetype,
                            t.typelem                       AS elemtype,
                            elem_t.typdelim                 AS elemdelim,
                            COALESCE(
                                range_t.rngsubtype,
                                multirange_t.rngsubtype)    AS range_subtype,
                            (CASE WHEN t.typtype = 'c' THEN
                                (SELECT
                                    array_agg(ia.atttypid ORDER BY ia.attnum)
                                FROM
                                    pg_attribute ia
                                    INNER JOIN pg_class c
                                        ON (ia.attrelid = c.oid)
                                WHERE
                                    ia.attnum > 0 AND NOT ia.attisdropped
                                    AND c.reltype = t.oid)

                                ELSE NULL
                            END)                            AS attrtypoids,
                            (CASE WHEN t.typtype = 'c' THEN
                                (SELECT
                                    array_agg(ia.attname::text ORDER BY ia.attnum)
                                FROM
                                    pg_attribute ia
                                    INNER JOIN pg_class c
                                        ON (ia.attrelid = c.oid)
                                WHERE
                                    ia.attnum > 0 AND NOT ia.attisdropped
                                    AND c.reltype = t.oid)

                                ELSE NULL
                            END)                            AS attrnames
                        FROM
                            pg_catalog.pg_type AS t
                            INNER JOIN pg_catalog.pg_namespace ns ON (
                                ns.oid = t.typnamespace)
                            LEFT JOIN pg_type elem_t ON (
                                t.typlen = -1 AND
                                t.typelem != 0 AND
                                t.typelem = elem_t.oid
                            )
                            LEFT JOIN pg_range range_t ON (
                                t.oid = range_t.rngtypid
                            )
                            LEFT JOIN pg_range multirange_t ON (
                                t.oid = multirange_t.rngmultitypid
                            )
                    )
                 AS ti
                    WHERE
                        ti.oid = any($1::oid[])

                    UNION ALL

                    SELECT
                        ti.oid, ti.ns, ti.name, ti.kind, ti.basetype,
                        ti.elemtype, ti.elemdelim, ti.range_subtype,
                        ti.attrtypoids, ti.attrnames, tt.depth + 1
                    FROM
                            (
                        SELECT
                            t.oid                           AS oid,
                            ns.nspname                      AS ns,
                            t.typname                       AS name,
                            t.typtype                       AS kind,
                            (CASE WHEN t.typtype = 'd' THEN
                                (WITH RECURSIVE typebases(oid, depth) AS (
                                    SELECT
                                        t2.typbasetype      AS oid,
                                        0                   AS depth
                                    FROM
                                        pg_type t2
                                    WHERE
                                        t2.oid = t.oid

                                    UNION ALL

                                    SELECT
                                        t2.typbasetype      AS oid,
                                        tb.depth + 1        AS depth
                                    FROM
                                        pg_type t2,
                                        typebases tb
                                    WHERE
                                       tb.oid = t2.oid
                                       AND t2.typbasetype != 0
                               ) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1)

                               ELSE NULL
                            END)                            AS basetype,
                            t.typelem                       AS elemtype,
                            elem_t.typdelim                 AS elemdelim,
                            COALESCE(
                                range_t.rngsubtype,
                                multirange_t.rngsubtype)    AS range_subtype,
                            (CASE WHEN t.typtype = 'c' THEN
                                (SELECT
                                    array_agg(ia.atttypid ORDER BY ia.attnum)
                                FROM
                                    pg_attribute ia
                                    INNER JOIN pg_class c
                                        ON (ia.attrelid = c.oid)
                                WHERE
                                    ia.attnum > 0 AND NOT ia.attisdropped
                                    AND c.reltype = t.oid)

                                ELSE NULL
                            END)                            AS attrtypoids,
                            (CASE WHEN t.typtype = 'c' THEN
                                (SELECT
                                    array_agg(ia.attname::text ORDER BY ia.attnum)
                                FROM
                                    pg_attribute ia
                                    INNER JOIN pg_class c
                                        ON (ia.attrelid = c.oid)
                                WHERE
                                    ia.attnum > 0 AND NOT ia.attisdropped
                                    AND c.reltype = t.oid)

                                ELSE NULL
                            END)                            AS attrnames
                        FROM
                            pg_catalog.pg_type AS t
                            INNER JOIN pg_catalog.pg_namespace ns ON (
                                ns.oid = t.typnamespace)
                            LEFT JOIN pg_type elem_t ON (
                                t.typlen = -1 AND
                                t.typelem != 0 AND
                                t.typelem = elem_t.oid
                            )
                            LEFT JOIN pg_range range_t ON (
                                t.oid = range_t.rngtypid
                            )
                            LEFT JOIN pg_range multirange_t ON (
                                t.oid = multirange_t.rngmultitypid
                            )
                    )
                 ti,
                        typeinfo_tree tt
                    WHERE
                        (tt.elemtype IS NOT NULL AND ti.oid = tt.elemtype)
                        OR (tt.attrtypoids IS NOT NULL AND ti.oid = any(tt.attrtypoids))
                        OR (tt.range_subtype IS NOT NULL AND ti.oid = tt.range_subtype)
                        OR (tt.basetype IS NOT NULL AND ti.oid = tt.basetype)
                )

                SELECT DISTINCT
                    *,
                    basetype::regtype::text AS basetype_name,
                    elemtype::regtype::text AS elemtype_name,
                    range_subtype::regtype::text AS range_subtype_name
                FROM
                    typeinfo_tree
                ORDER BY
                    depth DESC
                """#,
            parameters: ["{1007}"],
            parameterTypes: [1028],
            columns: [
                .init("oid", 26), .init("ns", 19), .init("name", 19), .init("kind", 18),
                .init("basetype", 26), .init("elemtype", 26), .init("elemdelim", 18),
                .init("range_subtype", 26), .init("attrtypoids", 1028), .init("attrnames", 1009),
                .init("depth", 23), .init("basetype_name", 25), .init("elemtype_name", 25),
                .init("range_subtype_name", 25),
            ],
            rows: [
                [
                    "23", "pg_catalog", "int4", "b", nil, "0", nil, nil, nil, nil, "1", nil, "-",
                    nil,
                ],
                [
                    "1007", "pg_catalog", "_int4", "b", nil, "23", ",", nil, nil, nil, "0", nil,
                    "integer", nil,
                ],
            ]),
        RecordedStatement(
            source: "asyncpg",
            sql: #"""

                                SELECT
                                    set_config('jit', $1, false)
                """#,
            parameters: ["on"],
            parameterTypes: [25],
            columns: [.init("set_config", 25)],
            rows: [["on"]]),
        RecordedStatement(
            source: "asyncpg",
            sql: #"""
                select $1::int[]
                """#,
            parameters: ["{1,2}"],
            parameterTypes: [1007],
            columns: [.init("int4", 1007)],
            rows: [["{1,2}"]]),
        RecordedStatement(
            source: "asyncpg",
            sql: #"""
                select $1::text[], $2::oid[], $3::name
                """#,
            parameters: ["{a}", "{1}", "x"],
            parameterTypes: [1009, 1028, 19],
            columns: [.init("text", 1009), .init("oid", 1028), .init("name", 19)],
            rows: [["{a}", "{1}", "x"]]),
        RecordedStatement(
            source: "asyncpg",
            sql: #"""
                select relacl from pg_class limit 1
                """#,
            columns: [.init("relacl", 1034)],
            rows: [[nil]]),
        RecordedStatement(
            source: "psycopg",
            sql: #"""
                SELECT name, oid, array_oid, regtype, array_agg(label) AS labels
                FROM (
                    SELECT
                        t.typname AS name, t.oid AS oid, t.typarray AS array_oid,
                        t.oid::regtype::text AS regtype, e.enumlabel AS label
                    FROM pg_type t
                    LEFT JOIN  pg_enum e
                    ON e.enumtypid = t.oid
                    WHERE t.oid = to_regtype($1)
                    ORDER BY e.enumsortorder
                ) x
                GROUP BY name, oid, array_oid, regtype
                """#,
            parameters: ["books"],
            parameterTypes: [25],
            columns: [
                .init("name", 19), .init("oid", 26), .init("array_oid", 26), .init("regtype", 25),
                .init("labels", 1003),
            ],
            rows: nil),
        RecordedStatement(
            source: "psycopg",
            sql: #"""
                SELECT
                    t.typname AS name, t.oid AS oid, t.typarray AS array_oid,
                    t.oid::regtype::text AS regtype,
                    coalesce(a.fnames, '{}') AS field_names,
                    coalesce(a.ftypes, '{}') AS field_types
                FROM pg_type t
                LEFT JOIN (
                    SELECT
                        attrelid,
                        array_agg(attname) AS fnames,
                        array_agg(atttypid) AS ftypes
                    FROM (
                        SELECT a.attrelid, a.attname, a.atttypid
                        FROM pg_attribute a
                        JOIN pg_type t ON t.typrelid = a.attrelid
                        WHERE t.oid = to_regtype($1)
                        AND a.attnum > 0
                        AND NOT a.attisdropped
                        ORDER BY a.attnum
                    ) x
                    GROUP BY attrelid
                ) a ON a.attrelid = t.typrelid
                WHERE t.oid = to_regtype($1)
                """#,
            parameters: ["books"],
            parameterTypes: [25],
            columns: [
                .init("name", 19), .init("oid", 26), .init("array_oid", 26), .init("regtype", 25),
                .init("field_names", 1003), .init("field_types", 1028),
            ],
            rows: nil),
        RecordedStatement(
            source: "psycopg",
            sql: #"""
                SELECT t.typname AS name, t.oid AS oid, t.typarray AS array_oid,
                    t.oid::regtype::text AS regtype,
                    r.rngsubtype AS subtype_oid
                FROM pg_type t
                JOIN pg_range r ON t.oid = r.rngtypid
                WHERE t.oid = to_regtype($1)
                """#,
            parameters: ["books"],
            parameterTypes: [25],
            columns: [
                .init("name", 19), .init("oid", 26), .init("array_oid", 26), .init("regtype", 25),
                .init("subtype_oid", 26),
            ],
            rows: []),
    ]
}
