import PostgresWire

/// A PostgreSQL function that catalog queries call, as SQLite sees it.
/// https://www.postgresql.org/docs/15/functions-info.html
struct CatalogFunction: Sendable {
    struct Call {
        let arguments: [CatalogValue]
        let session: CatalogSession

        var objects: CatalogObjects { session.objects }
        func text(_ position: Int) -> String {
            arguments.indices.contains(position) ? arguments[position].string ?? "" : ""
        }
        func oid(_ position: Int) -> UInt32 {
            arguments.indices.contains(position) ? arguments[position].oid ?? 0 : 0
        }
        func number(_ position: Int) -> Int? {
            guard arguments.indices.contains(position), let number = arguments[position].number
            else { return nil }
            return Int(exactly: number)
        }
        func array(_ position: Int) -> [CatalogValue] {
            CatalogArray(json: text(position))?.elements ?? []
        }
    }
    typealias Body = @Sendable (Call) throws(PostgresError) -> CatalogValue

    let name: String
    let resultType: UInt32
    /// Returns NULL, uncalled, where an argument is NULL.
    let isStrict: Bool
    /// What the parameters are taken for where the argument's own type is not known.
    let parameterTypes: [UInt32]
    let body: Body

    init(
        _ name: String, _ resultType: UInt32, _ parameterTypes: [UInt32] = [],
        isStrict: Bool = true, _ body: @escaping Body
    ) {
        self.name = name
        self.resultType = resultType
        self.parameterTypes = parameterTypes
        self.isStrict = isStrict
        self.body = body
    }

    static let all =
        sessionFunctions + definitionFunctions + nameFunctions + privilegeFunctions
        + sizeFunctions + textFunctions + arrayFunctions

    /// A function by the name that SQL calls it; nil where it is none of these.
    static func named(_ name: String) -> CatalogFunction? { byName[name] }

    private static let byName = Dictionary(
        all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

    /// Functions whose names the translation itself uses.
    enum Internal {
        static let relationInput = "mynah_regclass_in"
        static let typeInput = "mynah_regtype_in"
        static let namespaceInput = "mynah_regnamespace_in"
        static let roleInput = "mynah_regrole_in"
        static let arrayInput = "mynah_array_in"
        static let booleanInput = "mynah_bool_in"
        static let output = "mynah_out"
        static let matches = "mynah_regex"
        static let series = "mynah_series"
        static let concatenateArrays = "mynah_array_cat"
        static let containsArray = "mynah_array_contains"
        static let setting = "mynah_settings"
    }
}
