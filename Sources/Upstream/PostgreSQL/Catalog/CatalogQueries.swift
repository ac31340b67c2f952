/// What the catalog reader asks. Run with an empty search_path, so `pg_catalog` alone is seen;
/// operators are then those of pg_catalog too. OIDs from 16384 on are not the server's own.
enum CatalogQueries {
    static let namespaces: StaticString = "SELECT oid, nspname FROM pg_catalog.pg_namespace"

    static let classes: StaticString = """
        SELECT oid, relname, relnamespace, relkind, relpersistence = 't', relrowsecurity
        FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        """

    static let attributes: StaticString = """
        SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod >= 0, a.attgenerated <> '',
            coalesce(l.collisdeterministic, true)
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.oid >= 16384
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
        ORDER BY a.attrelid, a.attnum
        """

    /// The columns of indexes that hold every row and are on nothing but columns, one a row.
    static let indexes: StaticString = """
        SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisprimary, a.attname
        FROM pg_catalog.pg_index i
        CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[])
            WITH ORDINALITY k(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE i.indrelid >= 16384 AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
            AND k.place <= i.indnkeyatts
        ORDER BY i.indexrelid, k.place
        """

    /// Tables with a unique index by whose rules two values may be equal that their type's `=`
    /// tells apart: by a user's operator class, or a collation that is not deterministic.
    static let looseUniqueIndexes: StaticString = """
        SELECT DISTINCT i.indrelid FROM pg_catalog.pg_index i
        WHERE i.indrelid >= 16384 AND i.indisunique AND (
            EXISTS (
                SELECT FROM pg_catalog.unnest(i.indclass::pg_catalog.oid[]) c(class)
                WHERE c.class >= 16384)
            OR EXISTS (
                SELECT FROM pg_catalog.unnest(i.indcollation::pg_catalog.oid[]) c(collation_)
                JOIN pg_catalog.pg_collation l ON l.oid = c.collation_
                WHERE NOT l.collisdeterministic))
        """

    static let inheritance: StaticString = """
        SELECT i.inhrelid, i.inhparent
        FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE c.relkind IN ('r', 'p', 'f')
        """

    static let definitions: StaticString = """
        SELECT oid, pg_catalog.pg_get_viewdef(oid) FROM pg_catalog.pg_class
        WHERE relkind IN ('v', 'm') AND oid >= 16384
        """

    /// One row for each pair of columns.
    static let foreignKeys: StaticString = """
        SELECT k.oid, k.conrelid, k.confrelid, k.confdeltype, k.confupdtype, a.attname, b.attname
        FROM pg_catalog.pg_constraint k
        CROSS JOIN LATERAL ROWS FROM (
            pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)
        ) WITH ORDINALITY c(own, other, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.own
        JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = c.other
        WHERE k.contype = 'f' ORDER BY k.oid, c.place
        """

    static let triggers: StaticString = """
        SELECT tgrelid, tgfoid FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgenabled <> 'D'
        """

    static let rules: StaticString = """
        SELECT DISTINCT ev_class FROM pg_catalog.pg_rewrite WHERE ev_type <> '1'
        """

    /// Functions (also behind operators) in defaults, generated columns, constraints and policies,
    /// and in the constraints and defaults of the domains that a column's type is made of.
    static let dependencies: StaticString = """
        WITH RECURSIVE parts(root, type) AS (
            SELECT oid, oid FROM pg_catalog.pg_type WHERE oid >= 16384
            UNION
            SELECT p.root, n.type
            FROM parts p JOIN pg_catalog.pg_type t ON t.oid = p.type
            CROSS JOIN LATERAL (
                SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL
                SELECT a.atttypid FROM pg_catalog.pg_attribute a
                WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0
            ) n(type) WHERE n.type >= 16384
        ), code(class, object, relation) AS (
            SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid, oid, adrelid
            FROM pg_catalog.pg_attrdef
            UNION ALL
            SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid, oid, conrelid
            FROM pg_catalog.pg_constraint WHERE conrelid <> 0
            UNION ALL
            SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid, oid, polrelid
            FROM pg_catalog.pg_policy
            UNION ALL
            SELECT o.class, o.object, a.attrelid
            FROM (
                SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid,
                    oid, contypid
                FROM pg_catalog.pg_constraint WHERE contypid <> 0
                UNION ALL
                SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid, oid, oid
                FROM pg_catalog.pg_type WHERE typtype = 'd' AND oid >= 16384
            ) o(class, object, domain)
            JOIN parts ON parts.type = o.domain
            JOIN pg_catalog.pg_attribute a ON a.atttypid = parts.root AND a.attnum > 0
        ), uses(relation, class, object) AS (
            SELECT c.relation, d.refclassid, d.refobjid
            FROM code c JOIN pg_catalog.pg_depend d
                ON d.classid = c.class AND d.objid = c.object
        )
        SELECT relation, object FROM uses
        WHERE class = 'pg_catalog.pg_proc'::pg_catalog.regclass
        UNION
        SELECT u.relation, o.oprcode::pg_catalog.oid
        FROM uses u JOIN pg_catalog.pg_operator o ON o.oid = u.object
        WHERE u.class = 'pg_catalog.pg_operator'::pg_catalog.regclass
        """

    static let eventTriggers: StaticString = """
        SELECT evtfoid FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'
        """

    static let functions: StaticString = """
        SELECT p.oid, p.proname, p.pronamespace, p.provolatile, l.lanname, p.proargtypes,
            p.pronargdefaults, p.provariadic <> 0, p.prorettype,
            CASE WHEN p.oid < 16384 OR l.lanname IN ('c', 'internal') THEN ''
                WHEN p.prosqlbody IS NOT NULL THEN pg_catalog.pg_get_function_sqlbody(p.oid)
                ELSE p.prosrc END
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        """

    static let functionsBefore14: StaticString = """
        SELECT p.oid, p.proname, p.pronamespace, p.provolatile, l.lanname, p.proargtypes,
            p.pronargdefaults, p.provariadic <> 0, p.prorettype,
            CASE WHEN p.oid < 16384 OR l.lanname IN ('c', 'internal') THEN ''
                ELSE p.prosrc END
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        """

    static let operators: StaticString = """
        SELECT oprname, oprcode::pg_catalog.oid, oprleft, oprright
        FROM pg_catalog.pg_operator WHERE oid >= 16384
        """

    static let casts: StaticString = """
        SELECT castfunc FROM pg_catalog.pg_cast WHERE oid >= 16384 AND castfunc <> 0
        """

    static let types: StaticString = """
        SELECT t.oid, t.typname, t.typnamespace, t.typtype,
            CASE WHEN t.typtype = 'd' THEN t.typbasetype
                WHEN r.rngsubtype IS NOT NULL THEN r.rngsubtype
                ELSE t.typelem END,
            t.typrelid, coalesce(o.provolatile = 'i', false)
        FROM pg_catalog.pg_type t
        LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
            OR (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid
        LEFT JOIN pg_catalog.pg_proc o ON o.oid = t.typoutput::pg_catalog.oid
        """
}
