import PostgresWire
import SQLAnalysis

/// Translates a catalog query from PostgreSQL's parse tree into SQLite's SQL, with the PostgreSQL
/// type of every expression.
///
/// The translation covers what queries over catalogs use; anything else throws
/// `featureNotSupported`, so that no question is answered differently from what was asked.
struct CatalogTranslator {
    /// SQL text and what PostgreSQL would say its type is.
    struct Expression {
        var sql: String
        var type: UInt32
        /// The value of a string constant without a type of its own yet.
        var constant: String?
        /// The number of a bare parameter without a type of its own yet.
        var parameter: Int?

        init(_ sql: String, _ type: UInt32) {
            self.sql = sql
            self.type = type
        }
    }

    struct Column {
        var name: String
        var sql: String
        var type: UInt32
    }

    /// A table, subquery or function in FROM, by the name that it goes by.
    struct Source {
        var name: String
        var columns: [Column]
        /// What a bare reference to the source's own name means (functions in FROM).
        var scalar: Expression?
    }

    /// Deeper statements than any tool writes; each level takes some stack.
    static let maximumDepth = 120

    /// Innermost last; each level holds the sources of one SELECT.
    var scopes: [[Source]] = []
    /// Common table expressions in scope, by name.
    var commonTables: [String: [Column]] = [:]
    /// Types found for `$n`, by number.
    var parameterTypes: [Int: UInt32] = [:]
    var parameterCount = 0
    /// The statement's text, which locations in the tree point into.
    private let source: [UInt8]
    private var depth = 0
    private var aliasCount = 0

    /// A translated statement.
    struct Translation {
        let sql: String
        let columns: [EmulatedColumn]
        /// In order of their numbers; text where nothing told a type.
        let parameters: [UInt32]
    }

    private init(source: String) { self.source = Array(source.utf8) }

    /// Translates the statement that `sql` consists of.
    static func translate(
        _ statement: SyntaxNode, of sql: String
    ) throws(PostgresError) -> Translation {
        var translator = CatalogTranslator(source: sql)
        let (sql, columns) = try translator.select(statement, isTopLevel: true)
        let types = translator.parameterTypes
        return Translation(
            sql: sql,
            columns: columns.map {
                EmulatedColumn(
                    name: $0.name,
                    typeOID: $0.type == CatalogType.unknown || $0.type == 0
                        ? CatalogType.text : $0.type)
            },
            parameters: (1..<(translator.parameterCount + 1)).map { types[$0] ?? CatalogType.text })
    }

    static func unsupported(_ what: String) -> PostgresError {
        PostgresError(
            .featureNotSupported,
            "\(what) is not supported in catalog queries with an embedded SQLite database")
    }

    mutating func nested<Value>(
        _ body: (inout CatalogTranslator) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw Self.unsupported("such deep nesting") }
        return try body(&self)
    }

    /// The value of an integer constant. libpg_query leaves negative values out of its JSON as if
    /// they were zero, so that those are read from the text.
    func integer(_ node: SyntaxNode) -> Int? {
        guard let value = node.integerConstant, value == 0 else { return node.integerConstant }
        let start = node.integer("location")
        guard source.indices.contains(start), source[start] == UInt8(ascii: "-") else { return 0 }
        let digits = source[(start + 1)...].drop { $0 == 0x20 || $0 == 0x0a || $0 == 0x09 }
            .prefix { $0 >= 0x30 && $0 <= 0x39 }
        return Int("-" + String(decoding: digits, as: UTF8.self))
    }

    mutating func freshAlias() -> String {
        aliasCount += 1
        return "\"mynah \(aliasCount)\""
    }

    // MARK: Names

    /// Finds what a column reference means: the innermost match wins.
    func resolve(_ names: [String]) throws(PostgresError) -> Expression {
        guard let column = names.last else { throw Self.unsupported("an empty name") }
        let qualifier = names.count > 1 ? names[names.count - 2] : nil
        for sources in scopes.reversed() {
            for source in sources where qualifier == nil || source.name == qualifier {
                if let found = source.columns.first(where: { $0.name == column }) {
                    return Expression(found.sql, found.type)
                }
                if column == "tableoid" || column == "ctid", qualifier != nil {
                    let sql = "\(SQLQuoting.identifier(source.name)).\"tableoid\""
                    return Expression(sql, CatalogType.oid)
                }
            }
        }
        if qualifier == nil {
            for sources in scopes.reversed() {
                if let source = sources.first(where: { $0.name == column }), let it = source.scalar
                {
                    return it
                }
                if column == "tableoid", let first = sources.first {
                    let sql = "\(SQLQuoting.identifier(first.name)).\"tableoid\""
                    return Expression(sql, CatalogType.oid)
                }
            }
        }
        throw PostgresError(
            .undefinedColumn, "column \"\(names.joined(separator: "."))\" does not exist")
    }

    /// The columns that `*` or `source.*` stands for.
    func expandStar(_ names: [String]) throws(PostgresError) -> [Column] {
        guard let sources = scopes.last else { return [] }
        guard names.count > 1 else { return sources.flatMap(\.columns) }
        let qualifier = names[names.count - 2]
        for sources in scopes.reversed() {
            if let source = sources.first(where: { $0.name == qualifier }) { return source.columns }
        }
        throw PostgresError(
            .undefinedTable, "missing FROM-clause entry for table \"\(qualifier)\"")
    }

    // MARK: Types

    /// Gives an untyped constant or parameter the type that its context asks for.
    mutating func coerce(
        _ expression: Expression, to type: UInt32
    ) throws(PostgresError) -> Expression {
        guard expression.type == CatalogType.unknown, type != CatalogType.unknown, type != 0
        else { return expression }
        if expression.parameter != nil || expression.constant != nil {
            return try cast(expression, to: type)
        }
        return expression
    }

    /// Makes both sides of an operator agree where one has no type of its own.
    mutating func unify(
        _ left: Expression, _ right: Expression
    ) throws(PostgresError) -> (Expression, Expression) {
        (try coerce(left, to: right.type), try coerce(right, to: left.type))
    }

    mutating func note(_ parameter: Int, _ type: UInt32) {
        if parameterTypes[parameter] == nil { parameterTypes[parameter] = type }
    }

    /// `expression::type`.
    mutating func cast(
        _ expression: Expression, to type: UInt32
    ) throws(PostgresError) -> Expression {
        if expression.type == type { return expression }
        if let parameter = expression.parameter { note(parameter, type) }
        let sql = expression.sql
        let isUntyped = expression.type == CatalogType.unknown
        if let constant = expression.constant, CatalogType.isInteger(type),
            !CatalogType.isObjectName(type)
        {
            guard let number = Int64(constant) else {
                throw PostgresError("22P02", "invalid input syntax for type integer")
            }
            return Expression("(\(number))", type)
        }
        let fromText = CatalogType.isText(expression.type)
        switch type {
        case CatalogType.text, CatalogType.varchar, CatalogType.name, CatalogType.bpchar:
            guard !fromText else { return Expression(sql, type) }
            return Expression(
                "\(CatalogFunction.Internal.output)(\(sql), \(expression.type))", type)
        case CatalogType.char:
            return Expression(fromText && !isUntyped ? "substr(\(sql), 1, 1)" : sql, type)
        case CatalogType.bool:
            if fromText {
                return Expression("\(CatalogFunction.Internal.booleanInput)(\(sql))", type)
            }
            return Expression("(\(sql) <> 0)", type)
        case CatalogType.regclass where fromText:
            return Expression("\(CatalogFunction.Internal.relationInput)(\(sql))", type)
        case CatalogType.regtype where fromText:
            return Expression("\(CatalogFunction.Internal.typeInput)(\(sql))", type)
        case CatalogType.regnamespace where fromText:
            return Expression("\(CatalogFunction.Internal.namespaceInput)(\(sql))", type)
        case CatalogType.regrole where fromText:
            return Expression("\(CatalogFunction.Internal.roleInput)(\(sql))", type)
        case _ where CatalogType.isObjectName(type) && fromText:
            // There are no functions to be found but the ones that everybody knows.
            throw PostgresError(
                "42883", "function \"\(expression.constant ?? "")\" does not exist")
        case _ where CatalogType.isInteger(type):
            let isStored =
                CatalogType.isInteger(expression.type) || expression.type == CatalogType.bool
            return Expression(isStored ? sql : "CAST(\(sql) AS INTEGER)", type)
        case CatalogType.float4, CatalogType.float8:
            return Expression("CAST(\(sql) AS REAL)", type)
        case CatalogType.numeric: return Expression("CAST(\(sql) AS NUMERIC)", type)
        default: break
        }
        if let definition = CatalogType.byOID[type], definition.isArray || definition.isVector,
            fromText
        {
            let isNumeric = CatalogType.isInteger(definition.element) ? 1 : 0
            return Expression(
                "\(CatalogFunction.Internal.arrayInput)(\(sql), \(isNumeric))", type)
        }
        return Expression(sql, type)
    }

    /// The OID that a TypeName node means.
    static func typeOID(_ name: SyntaxNode) throws(PostgresError) -> UInt32 {
        let names = name.names("names")
        guard let last = names.last, names.count == 1 || names[0] == "pg_catalog",
            let element = CatalogType.byName[last]?.oid ?? CatalogType.lookUp(last)
        else {
            throw PostgresError(
                .undefinedObject, "type \"\(names.joined(separator: "."))\" does not exist")
        }
        guard name.has("arrayBounds") else { return element }
        guard let array = CatalogType.byOID[element]?.array, array != 0 else {
            throw unsupported("this array type")
        }
        return array
    }
}
