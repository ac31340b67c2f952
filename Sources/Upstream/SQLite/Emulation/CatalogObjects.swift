/// What the functions over the catalog look up by OID or name: built once per schema version.
struct CatalogObjects: Sendable {
    struct Named: Sendable {
        let name: String
        let namespace: UInt32
    }

    /// Tables, views and indexes, the catalog's own included.
    private(set) var relations: [UInt32: Named] = [:]
    private(set) var relationByName: [String: UInt32] = [:]
    private(set) var rowTypes: [UInt32: Named] = [:]
    private(set) var rowTypeByName: [String: UInt32] = [:]
    private(set) var indexDefinitions: [UInt32: String] = [:]
    private(set) var indexKeys: [UInt32: [String]] = [:]
    private(set) var constraintDefinitions: [UInt32: String] = [:]
    private(set) var viewDefinitions: [UInt32: String] = [:]
    private(set) var triggerDefinitions: [UInt32: String] = [:]

    init(relations schema: [SQLiteSchema.Relation]) {
        for relation in CatalogRelation.pgCatalog + CatalogRelation.informationSchema {
            relations[relation.oid] = Named(name: relation.name, namespace: relation.namespace)
            relationByName[relation.storedName] = relation.oid
        }
        for relation in schema {
            add(relation.oid, relation.name)
            rowTypes[relation.rowTypeOID] = Named(
                name: relation.name, namespace: CatalogRelation.publicNamespace)
            rowTypeByName[relation.name] = relation.rowTypeOID
            viewDefinitions[relation.oid] = relation.viewDefinition.map { " \($0);" }
            for trigger in relation.triggers {
                triggerDefinitions[trigger.oid] = trigger.definition
            }
            for index in relation.indexes {
                add(index.oid, index.name)
                indexDefinitions[index.oid] = Self.definition(of: index, on: relation)
                indexKeys[index.oid] = index.keys.map { Self.keyText($0) }
                if index.constraintOID != 0 {
                    let kind = index.origin == .primaryKey ? "PRIMARY KEY" : "UNIQUE"
                    let keys = index.keys.map { Self.keyText($0) }.joined(separator: ", ")
                    constraintDefinitions[index.constraintOID] = "\(kind) (\(keys))"
                }
            }
        }
        let byName = Dictionary(
            schema.map { ($0.name.lowercased(), $0) }, uniquingKeysWith: { first, _ in first })
        for relation in schema {
            for key in relation.foreignKeys {
                guard let referred = byName[key.referredTable.lowercased()] else { continue }
                constraintDefinitions[key.oid] = Self.definition(
                    of: key, on: relation, referring: referred)
            }
        }
    }

    private mutating func add(_ oid: UInt32, _ name: String) {
        relations[oid] = Named(name: name, namespace: CatalogRelation.publicNamespace)
        relationByName[name] = oid
    }

    private static func keyText(_ key: SQLiteSchema.Index.Key) -> String {
        key.column == nil ? key.text : SQLQuoting.identifierIfNeeded(key.text)
    }

    private static func definition(
        of index: SQLiteSchema.Index, on relation: SQLiteSchema.Relation
    ) -> String {
        let keys = index.keys.map { key in
            let text = keyText(key)
            return key.isDescending && key.column != nil ? "\(text) DESC" : text
        }
        return "CREATE \(index.isUnique ? "UNIQUE " : "")INDEX "
            + "\(SQLQuoting.identifierIfNeeded(index.name)) ON "
            + "public.\(SQLQuoting.identifierIfNeeded(relation.name)) USING btree "
            + "(\(keys.joined(separator: ", ")))" + (index.predicate.map { " WHERE (\($0))" } ?? "")
    }

    private static func definition(
        of key: SQLiteSchema.ForeignKey, on relation: SQLiteSchema.Relation,
        referring referred: SQLiteSchema.Relation
    ) -> String {
        func names(_ positions: [Int], _ relation: SQLiteSchema.Relation) -> String {
            positions.map { SQLQuoting.identifierIfNeeded(relation.columns[$0].name) }
                .joined(separator: ", ")
        }
        var text =
            "FOREIGN KEY (\(names(key.columns, relation))) REFERENCES "
            + SQLQuoting.identifierIfNeeded(referred.name)
            + "(\(names(key.referredColumns, referred)))"
        if key.onUpdate != "NO ACTION" { text += " ON UPDATE \(key.onUpdate)" }
        if key.onDelete != "NO ACTION" { text += " ON DELETE \(key.onDelete)" }
        return text
    }

    /// The OID of the relation that `name` means, as `'name'::regclass` reads it.
    func relation(named name: String) -> UInt32? {
        if let oid = UInt32(name) { return oid }
        guard let parts = Self.nameParts(name) else { return nil }
        switch parts.count {
        case 1: return relationByName[parts[0]]
        case 2 where parts[0] == "public":
            guard let oid = relationByName[parts[1]], oid >= ObjectIdentifiers.firstNormal
            else { return nil }
            return oid
        case 2 where parts[0] == "pg_catalog":
            return CatalogRelation.lookUp(schema: "pg_catalog", name: parts[1])?.oid
        case 2: return relationByName[parts.joined(separator: ".")]
        default: return nil
        }
    }

    func type(named name: String) -> UInt32? {
        if let oid = UInt32(name) { return oid }
        if let oid = CatalogType.lookUp(name) { return oid }
        guard let parts = Self.nameParts(name), let last = parts.last,
            parts.count == 1 || parts[0] == "public"
        else { return nil }
        return rowTypeByName[last]
    }

    /// A name as it would be written where `public` and `pg_catalog` are the search path.
    func relationName(_ oid: UInt32) -> String {
        guard let relation = relations[oid] else { return oid == 0 ? "-" : String(oid) }
        let name = SQLQuoting.identifierIfNeeded(relation.name)
        return relation.namespace == CatalogRelation.informationSchemaNamespace
            ? "information_schema.\(name)" : name
    }

    func typeName(_ oid: UInt32, modifier: Int?) -> String? {
        if let name = CatalogType.formatted(oid, modifier: modifier) { return name }
        return rowTypes[oid].map { SQLQuoting.identifierIfNeeded($0.name) }
    }

    static func namespaceName(_ oid: UInt32) -> String {
        switch oid {
        case CatalogRelation.pgCatalogNamespace: "pg_catalog"
        case CatalogRelation.publicNamespace: "public"
        case CatalogRelation.informationSchemaNamespace: "information_schema"
        case 99: "pg_toast"
        case 0: "-"
        default: String(oid)
        }
    }

    static func namespace(named name: String) -> UInt32? {
        switch name {
        case "pg_catalog": CatalogRelation.pgCatalogNamespace
        case "public": CatalogRelation.publicNamespace
        case "information_schema": CatalogRelation.informationSchemaNamespace
        case "pg_toast": 99
        default: UInt32(name)
        }
    }

    /// Splits `a."B c"` at its dots, folding what is not quoted. Nil where quotes do not match.
    static func nameParts(_ name: String) -> [String]? {
        var parts: [String] = []
        var current = ""
        var inQuotes = false
        var wasQuoted = false
        for character in name {
            if character == "\"" {
                if wasQuoted, !inQuotes { current.append("\"") }
                inQuotes.toggle()
                wasQuoted = true
            } else if character == ".", !inQuotes {
                parts.append(current)
                current = ""
                wasQuoted = false
            } else {
                current += inQuotes ? String(character) : character.lowercased()
            }
        }
        guard !inQuotes else { return nil }
        parts.append(current)
        return parts
    }
}
