/// A relation of `pg_catalog` or `information_schema`, with its real column names and types.
struct CatalogRelation: Sendable {
    struct Column: Sendable {
        let name: String
        let typeOID: UInt32
    }

    static let pgCatalogNamespace: UInt32 = 11
    static let informationSchemaNamespace: UInt32 = 13207
    static let publicNamespace: UInt32 = 2200

    let oid: UInt32
    let namespace: UInt32
    /// `r` or `v`.
    let kind: String
    let name: String
    let columns: [Column]

    /// The table of the catalog database that holds it.
    var storedName: String {
        namespace == Self.pgCatalogNamespace ? name : "information_schema.\(name)"
    }

    static let pgCatalog = parse(pgCatalogText, namespace: pgCatalogNamespace)
    static let informationSchema = parse(
        informationSchemaText, namespace: informationSchemaNamespace)
    private static let pgCatalogByName = Dictionary(
        uniqueKeysWithValues: pgCatalog.map { ($0.name, $0) })
    private static let informationSchemaByName = Dictionary(
        uniqueKeysWithValues: informationSchema.map { ($0.name, $0) })

    /// The relation that a reference means. An unqualified name is looked up in `pg_catalog`
    /// alone, which comes first in every search path.
    static func lookUp(schema: String, name: String) -> CatalogRelation? {
        switch schema {
        case "", "pg_catalog": pgCatalogByName[name]
        case "information_schema": informationSchemaByName[name]
        default: nil
        }
    }

    private static func parse(_ text: String, namespace: UInt32) -> [CatalogRelation] {
        var relations: [CatalogRelation] = []
        var header: (oid: UInt32, kind: String, name: String)?
        var columns: [Column] = []
        func finish() {
            guard let header else { return }
            relations.append(
                CatalogRelation(
                    oid: header.oid, namespace: namespace, kind: header.kind, name: header.name,
                    columns: columns))
        }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if !line.hasPrefix(" "), words.count == 3, let oid = UInt32(words[0]) {
                finish()
                header = (oid, String(words[1]), String(words[2]))
                columns = []
                continue
            }
            for word in words {
                let parts = word.split(separator: ":")
                let type = parts.count > 1 ? CatalogType.lookUp(String(parts[1])) : nil
                columns.append(
                    Column(
                        name: String(parts[0]),
                        // `char` in the catalogs is the one-byte type, never `character`.
                        typeOID: type ?? CatalogType.text))
            }
        }
        finish()
        return relations
    }
}
