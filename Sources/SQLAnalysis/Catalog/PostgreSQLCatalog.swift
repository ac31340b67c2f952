/// An immutable picture of one database's catalog, arranged for the questions that analysis asks.
package struct PostgreSQLCatalog: Sendable {
    package struct Relation: Sendable {
        package enum Kind: Sendable {
            case table, view, materializedView, foreignTable, sequence
        }

        package let oid: UInt32
        package let name: String
        package let schema: String
        package let kind: Kind
        package let hasRowSecurity: Bool
        /// The smallest OID in its inheritance and partition tree: all members share it.
        package let family: UInt32
        /// What reading it may do besides: by policies, for one.
        package let readBehaviour: FunctionEffects
        package let timeUse: TimeUse
        /// A column's text depends on code or settings that the cache's key does not hold.
        package let hasOpaqueType: Bool

        /// A schema of the server's own.
        package var isSystem: Bool {
            schema == "information_schema"
                || (schema.hasPrefix("pg_") && !RelationName.isTemporarySchema(schema))
        }

        package var relation: SQLAnalysis.Relation {
            SQLAnalysis.Relation(
                identifier: RelationIdentifier(String(family)), name: name, schema: schema)
        }
    }

    /// Which date and time types are about.
    package struct TimeUse: OptionSet, Hashable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Any type whose text input may know `now`: date/time types and all that is not known.
        package static let any = TimeUse(rawValue: 1 << 0)
        /// `time`: converting it to a time zone depends on the current day.
        package static let timeOfDay = TimeUse(rawValue: 1 << 1)
        /// `time with time zone`: comparing it with `time` depends on the current day.
        package static let zonedTimeOfDay = TimeUse(rawValue: 1 << 2)
    }

    /// What a write to any member of a family sets off.
    package struct Family: Sendable {
        /// By defaults, constraints, policies, rules.
        package var behaviour = FunctionEffects()
        package var triggers: [Trigger] = []
        /// The foreign keys that reference it.
        package var referencedBy: Set<Reference> = []
        package var holdsForeignTable = false
        /// A user's trigger or rule may make other rows of what a statement says.
        package var rewritesRows = false
        /// It has partitions or children.
        package var isTree = false
    }

    /// A foreign key, seen from the family that it references.
    package struct Reference: Hashable, Sendable {
        package let family: UInt32
        package let columns: Set<String>
        /// nil where assigning to any column may change them: one is generated.
        package let referencedColumns: Set<String>?
        package let onDelete: CatalogRows.ForeignKey.Action
        package let onUpdate: CatalogRows.ForeignKey.Action
    }

    package struct Function: Sendable {
        package let schema: String
        package let isBuiltin: Bool
        package let volatility: Character
        package let behaviour: FunctionEffects
        package let minimumArguments: Int
        /// nil for VARIADIC.
        package let maximumArguments: Int?
        package let takesRow: Bool
        package let returnsTime: Bool
        /// The time types that a call brings into play.
        package let timeUse: TimeUse

        func accepts(_ count: Int?) -> Bool {
            guard let count else { return true }
            return count >= minimumArguments && count <= maximumArguments ?? .max
        }
    }

    package enum TypeClass: Sendable {
        /// A built-in scalar, or an enum: text in and out depend on nothing but the key.
        case plain(TimeUse)
        case other
    }

    private let relations: [String: [Relation]]
    private let functions: [String: [Function]]
    private let types: [String: [(schema: String, class: TypeClass)]]
    private let typeTimeUse: [UInt32: TimeUse]
    private let columnsAreTime: [UInt32: [String: Bool]]
    private let shapes: [UInt32: Int]
    private let families: [UInt32: Family]
    private let definitions: [UInt32: [SyntaxFacts]]
    private let keyColumns: [UInt32: KeyColumns]
    private let policies: [UInt32: [SyntaxFacts]]
    private let typeBehaviour: [UInt32: FunctionEffects]
    /// What code that is not in the catalog may do by the names in it.
    let code: CodeEffects

    /// Names of user-defined operators that may not be trusted: not immutable, or not in C.
    package let untrustedOperators: [String: FunctionEffects]
    /// Whether a user-defined cast has a function that is not immutable.
    package let hasUntrustedCast: Bool
    package let castBehaviour: FunctionEffects
    package let eventTriggerBehaviour: FunctionEffects
    /// Temporary views of any session, by name: their bodies can call functions.
    package let temporaryViews: [String: [UInt32]]
    /// Families of the temporary tables of any session, by name: they can have triggers.
    package let temporaryTables: [String: [UInt32]]

    package init(_ rows: CatalogRows) {
        var builder = CatalogBuilder(rows)
        builder.build()
        relations = builder.relations
        functions = builder.functions
        types = builder.types
        typeTimeUse = builder.timeUseByType
        columnsAreTime = builder.columnsAreTime
        shapes = builder.shapes
        families = builder.families
        definitions = builder.definitions
        keyColumns = builder.keyColumns
        policies = builder.policies
        typeBehaviour = builder.typeBehaviour
        code = builder.code
        untrustedOperators = builder.untrustedOperators
        hasUntrustedCast = builder.hasUntrustedCast
        castBehaviour = builder.castBehaviour
        eventTriggerBehaviour = builder.eventTriggerBehaviour
        temporaryViews = builder.temporaryViews
        temporaryTables = builder.temporaryTables
    }

    /// Every relation that the name may mean, over all schemas of the path.
    package func relations(named name: RelationName, path: SearchPath) -> [Relation] {
        let all = relations[name.name] ?? []
        return all.filter { path.includes(schema: $0.schema, qualifiedWith: name.schema) }
    }

    /// The member after which the family is named. Looks through all relations: not for every
    /// statement.
    package func representative(ofFamily family: UInt32) -> Relation? {
        for namesakes in relations.values {
            if let relation = namesakes.first(where: { $0.oid == family }) { return relation }
        }
        return nil
    }

    package func functions(for use: FunctionUse, path: SearchPath) -> [Function] {
        (functions[use.name] ?? []).filter {
            path.includes(schema: $0.schema, qualifiedWith: use.schema)
        }
    }

    /// User-defined functions that `row.name` may call.
    package func rowFunctions(named name: String, path: SearchPath) -> [Function] {
        (functions[name] ?? []).filter {
            !$0.isBuiltin && $0.takesRow && path.includes(schema: $0.schema, qualifiedWith: nil)
        }
    }

    /// The classes of every type that the name may mean; empty if there is none.
    package func types(for use: TypeUse, path: SearchPath) -> [TypeClass] {
        (types[use.name] ?? []).filter {
            path.includes(schema: $0.schema, qualifiedWith: use.schema)
        }.map(\.class)
    }

    /// The same for relations with the same columns, and as good as never for others; of this
    /// process alone.
    func shape(of relation: Relation) -> Int { shapes[relation.oid] ?? 0 }

    package func timeUse(ofType oid: UInt32) -> TimeUse {
        // 0 is a parameter whose type the server finds from its place in the statement.
        oid == 0 ? [] : typeTimeUse[oid] ?? .any
    }

    /// Whether the column exists and, if so, whether it has a date or time type.
    package func isTime(column: String, of relation: Relation) -> Bool? {
        columnsAreTime[relation.oid]?[column]
    }

    /// The relation's columns, as far as keys need them; nil if it has none.
    package func keyColumns(of relation: UInt32) -> KeyColumns? { keyColumns[relation] }

    package func family(_ family: UInt32) -> Family { families[family] ?? Family() }

    /// The facts of a view's query; nil if it has none or it could not be parsed.
    package func definition(of oid: UInt32) -> [SyntaxFacts]? { definitions[oid] }

    /// What making a value of the type may do besides: the constraints of domains.
    package func behaviour(ofType oid: UInt32) -> FunctionEffects { typeBehaviour[oid] ?? .init() }

    /// The facts of a table's row-level security policies; nil if it has none or one could not be
    /// parsed.
    package func policies(of oid: UInt32) -> [SyntaxFacts]? { policies[oid] }
}
