/// What the catalog reader asks. Run with an empty search_path, so `pg_catalog` alone is seen;
/// operators are then those of pg_catalog too. OIDs from 16384 on are not the server's own.
enum CatalogQueries {
    static let namespaces: StaticString = "SELECT oid, nspname FROM pg_catalog.pg_namespace"

    static let classes: StaticString = """
        SELECT oid, relname, relnamespace, relkind, relpersistence = 't', relrowsecurity
        FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        """

    static let attributes: StaticString = """
        SELECT a.attrelid, a.attname, a.atttypid
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.oid >= 16384
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
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

    static let foreignKeys: StaticString = """
        SELECT DISTINCT conrelid, confrelid,
            confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')
        FROM pg_catalog.pg_constraint WHERE contype = 'f'
        """

    static let triggers: StaticString = """
        SELECT tgrelid, tgfoid, tgtype FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgenabled <> 'D'
        """

    static let rules: StaticString = """
        SELECT DISTINCT ev_class FROM pg_catalog.pg_rewrite WHERE ev_type <> '1'
        """

    /// Functions (also behind operators) in defaults, generated columns, constraints, policies,
    /// indexes, partition keys and triggers' conditions, and in the constraints and defaults of the domains that a column's type is made of.
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
            SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, indexrelid, indrelid
            FROM pg_catalog.pg_index WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
            UNION ALL
            SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, partrelid, partrelid
            FROM pg_catalog.pg_partitioned_table WHERE partexprs IS NOT NULL
            UNION ALL
            SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid, oid, tgrelid
            FROM pg_catalog.pg_trigger WHERE tgqual IS NOT NULL AND NOT tgisinternal
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
            LEFT JOIN pg_catalog.pg_trigger t ON t.oid = c.object
                AND c.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass
            -- A trigger's own function runs on its events only.
            WHERE t.oid IS NULL OR d.refclassid <> 'pg_catalog.pg_proc'::pg_catalog.regclass
                OR d.refobjid <> t.tgfoid
        )
        SELECT relation, object FROM uses
        WHERE class = 'pg_catalog.pg_proc'::pg_catalog.regclass
        UNION
        SELECT u.relation, o.oprcode::pg_catalog.oid
        FROM uses u JOIN pg_catalog.pg_operator o ON o.oid = u.object
        WHERE u.class = 'pg_catalog.pg_operator'::pg_catalog.regclass
        """

    /// Functions (also behind operators) in the constraints and defaults of domains, by the types
    /// that are made of these.
    static let typeDependencies: StaticString = """
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
        ), uses(type, class, object) AS (
            SELECT p.root, d.refclassid, d.refobjid
            FROM (
                SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid,
                    oid, contypid
                FROM pg_catalog.pg_constraint WHERE contypid <> 0
                UNION ALL
                SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid, oid, oid
                FROM pg_catalog.pg_type WHERE typtype = 'd' AND oid >= 16384
            ) o(class, object, domain)
            JOIN parts p ON p.type = o.domain
            JOIN pg_catalog.pg_depend d ON d.classid = o.class AND d.objid = o.object
        )
        SELECT type, object FROM uses WHERE class = 'pg_catalog.pg_proc'::pg_catalog.regclass
        UNION
        SELECT u.type, o.oprcode::pg_catalog.oid
        FROM uses u JOIN pg_catalog.pg_operator o ON o.oid = u.object
        WHERE u.class = 'pg_catalog.pg_operator'::pg_catalog.regclass
        """

    static let policies: StaticString = """
        SELECT polrelid, pg_catalog.pg_get_expr(polqual, polrelid) FROM pg_catalog.pg_policy
        """

    static let eventTriggers: StaticString = """
        SELECT evtfoid FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'
        """

    /// An aggregate has the names of the functions that it is made of for a body.
    static let functions: StaticString = """
        SELECT p.oid, p.proname, p.pronamespace, p.provolatile,
            CASE WHEN p.oid >= 16384 AND p.prokind = 'a' THEN 'aggregate' ELSE l.lanname END,
            p.proargtypes, p.pronargdefaults, p.provariadic <> 0, p.prorettype,
            CASE WHEN p.oid >= 16384 AND p.prokind = 'a' THEN (
                    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(f.proname), ' ')
                    FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc f ON f.oid IN (
                        a.aggtransfn::pg_catalog.oid, a.aggfinalfn::pg_catalog.oid,
                        a.aggcombinefn::pg_catalog.oid, a.aggserialfn::pg_catalog.oid,
                        a.aggdeserialfn::pg_catalog.oid, a.aggmtransfn::pg_catalog.oid,
                        a.aggminvtransfn::pg_catalog.oid, a.aggmfinalfn::pg_catalog.oid)
                    WHERE a.aggfnoid::pg_catalog.oid = p.oid)
                WHEN p.oid < 16384 OR l.lanname IN ('c', 'internal') THEN ''
                WHEN p.prosqlbody IS NOT NULL THEN pg_catalog.pg_get_function_sqlbody(p.oid)
                ELSE p.prosrc END,
            CASE WHEN p.oid >= 16384 AND l.lanname IN ('sql', 'plpgsql') AND p.prokind <> 'a'
                THEN pg_catalog.pg_get_functiondef(p.oid) ELSE '' END
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        """

    /// The same for servers that have no SQL-standard bodies.
    static let functionsBefore14: StaticString = """
        SELECT p.oid, p.proname, p.pronamespace, p.provolatile,
            CASE WHEN p.oid >= 16384 AND p.prokind = 'a' THEN 'aggregate' ELSE l.lanname END,
            p.proargtypes, p.pronargdefaults, p.provariadic <> 0, p.prorettype,
            CASE WHEN p.oid >= 16384 AND p.prokind = 'a' THEN (
                    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(f.proname), ' ')
                    FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc f ON f.oid IN (
                        a.aggtransfn::pg_catalog.oid, a.aggfinalfn::pg_catalog.oid,
                        a.aggcombinefn::pg_catalog.oid, a.aggserialfn::pg_catalog.oid,
                        a.aggdeserialfn::pg_catalog.oid, a.aggmtransfn::pg_catalog.oid,
                        a.aggminvtransfn::pg_catalog.oid, a.aggmfinalfn::pg_catalog.oid)
                    WHERE a.aggfnoid::pg_catalog.oid = p.oid)
                WHEN p.oid < 16384 OR l.lanname IN ('c', 'internal') THEN ''
                ELSE p.prosrc END,
            CASE WHEN p.oid >= 16384 AND l.lanname IN ('sql', 'plpgsql') AND p.prokind <> 'a'
                THEN pg_catalog.pg_get_functiondef(p.oid) ELSE '' END
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        """

    static let operators: StaticString = """
        SELECT oprname, oprcode::pg_catalog.oid FROM pg_catalog.pg_operator WHERE oid >= 16384
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
