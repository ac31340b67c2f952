import Mutants

/// Arranges catalog rows into the maps of `PostgreSQLCatalog`.
struct CatalogBuilder {
    /// OIDs below are the server's own, given at initdb.
    static let firstUserOID: UInt32 = 16_384

    private let rows: CatalogRows
    private let schemaNames: [UInt32: String]
    private var behaviours: [UInt32: FunctionEffects] = [:]
    private var representatives: [UInt32: UInt32] = [:]

    var relations: [String: [PostgreSQLCatalog.Relation]] = [:]
    var functions: [String: [PostgreSQLCatalog.Function]] = [:]
    var types: [String: [(schema: String, class: PostgreSQLCatalog.TypeClass)]] = [:]
    var timeUseByType: [UInt32: PostgreSQLCatalog.TimeUse] = [:]
    var columnsAreTime: [UInt32: [String: Bool]] = [:]
    /// A hash of each relation's columns, in order: their names and types.
    var shapes: [UInt32: Int] = [:]
    var families: [UInt32: PostgreSQLCatalog.Family] = [:]
    var keyColumns: [UInt32: KeyColumns] = [:]
    var definitions: [UInt32: [SyntaxFacts]] = [:]
    var code = CodeEffects()
    var typeBehaviour: [UInt32: FunctionEffects] = [:]
    /// The facts of each table's policies; no value where one could not be parsed.
    var policies: [UInt32: [SyntaxFacts]] = [:]
    var untrustedOperators: [String: FunctionEffects] = [:]
    var hasUntrustedCast = false
    var castBehaviour = FunctionEffects()
    var eventTriggerBehaviour = FunctionEffects()
    var temporaryViews: [String: [UInt32]] = [:]
    var temporaryTables: [String: [UInt32]] = [:]

    init(_ rows: CatalogRows) {
        self.rows = rows
        schemaNames = Dictionary(
            rows.namespaces.map { ($0.oid, $0.name) }, uniquingKeysWith: { first, _ in first })
    }

    mutating func build() {
        for definition in rows.definitions {
            definitions[definition.relation] = try? SyntaxAnalysis.facts(of: definition.query)
        }
        policies = PolicyReader.facts(of: rows)
        let judge = FunctionJudge(rows)
        behaviours = judge.effects
        code = CodeEffects(judge)
        let typeReader = TypeClassifier(rows)
        timeUseByType = typeReader.timeUse
        addTypes(typeReader)
        addFunctions(typeReader)
        addOperatorsAndCasts()
        joinFamilies()
        addRelations(typeReader)
        addFamilies()
        var families: [UInt32: UInt32] = [:]
        for link in rows.inheritance {
            families[link.child] = representative(of: link.child)
            families[link.parent] = representative(of: link.parent)
        }
        keyColumns = KeyColumns.all(in: rows) { families[$0] ?? $0 }
        for dependency in rows.typeDependencies {
            typeBehaviour[dependency.type, default: .init()].formUnion(
                behaviours[dependency.function] ?? .opaque)
        }
        for function in rows.eventTriggerFunctions {
            eventTriggerBehaviour.formUnion(behaviours[function] ?? .opaque)
        }
    }

    private func schema(_ oid: UInt32) -> String { schemaNames[oid] ?? "" }

    private mutating func addTypes(_ reader: TypeClassifier) {
        for type in rows.types {
            types[type.name, default: []].append(
                (schema: schema(type.namespace), class: reader.castClass(of: type)))
        }
    }

    private mutating func addFunctions(_ reader: TypeClassifier) {
        for function in rows.functions {
            let name = schema(function.namespace)
            let isBuiltin =
                name == "pg_catalog" && function.oid < Self.firstUserOID
            let count = function.argumentTypes.count
            functions[function.name, default: []].append(
                PostgreSQLCatalog.Function(
                    schema: name, isBuiltin: isBuiltin, volatility: function.volatility,
                    behaviour: behaviours[function.oid] ?? .opaque,
                    minimumArguments: max(
                        0, count - function.defaultCount - (function.isVariadic ? 1 : 0)),
                    maximumArguments: function.isVariadic ? nil : count,
                    takesRow: function.argumentTypes.first.map(reader.mayBeRow) ?? false,
                    returnsTime: reader.isTime(function.resultType),
                    timeUse: reader.timeUse(ofCall: function)))
        }
    }

    private mutating func addOperatorsAndCasts() {
        let byOID = Dictionary(
            rows.functions.map { ($0.oid, $0) }, uniquingKeysWith: { first, _ in first })
        for entry in rows.operators {
            let function = byOID[entry.function]
            let isTrusted =
                function?.volatility == "i"
                && (function?.language == "c" || function?.language == "internal")
            if isTrusted { continue }
            untrustedOperators[entry.name, default: .init()].formUnion(
                behaviours[entry.function] ?? .opaque)
        }
        for oid in rows.castFunctions where byOID[oid]?.volatility != "i" {
            hasUntrustedCast = true
            castBehaviour.formUnion(behaviours[oid] ?? .opaque)
        }
    }

    // MARK: Relations

    private mutating func joinFamilies() {
        if Mutant.partitionsIgnored.isActive { return }
        for link in rows.inheritance {
            let child = representative(of: link.child)
            let parent = representative(of: link.parent)
            if child != parent { representatives[max(child, parent)] = min(child, parent) }
        }
    }

    private mutating func representative(of oid: UInt32) -> UInt32 {
        var root = oid
        while let next = representatives[root] { root = next }
        if root != oid { representatives[oid] = root }
        return root
    }

    private mutating func addRelations(_ reader: TypeClassifier) {
        var opaqueColumns: Set<UInt32> = []
        var timeUse: [UInt32: PostgreSQLCatalog.TimeUse] = [:]
        for column in rows.attributes {
            var shape = Hasher()
            shape.combine(shapes[column.relation] ?? 0)
            shape.combine(column.name)
            shape.combine(column.type)
            shapes[column.relation] = shape.finalize()
            columnsAreTime[column.relation, default: [:]][column.name] =
                reader.isTime(column.type)
            timeUse[column.relation, default: []].formUnion(
                reader.timeUse[column.type] ?? .any)
            if reader.isOpaque(column.type) { opaqueColumns.insert(column.relation) }
        }
        var readBehaviour: [UInt32: FunctionEffects] = [:]
        for dependency in rows.dependencies {
            readBehaviour[dependency.relation, default: .init()].formUnion(
                behaviours[dependency.function] ?? .opaque)
        }
        for row in rows.classes {
            guard let kind = Self.kind(row.kind) else { continue }
            if row.isTemporary {
                if kind == .view { temporaryViews[row.name, default: []].append(row.oid) }
                if kind == .table {
                    temporaryTables[row.name, default: []].append(representative(of: row.oid))
                }
                continue
            }
            relations[row.name, default: []].append(
                PostgreSQLCatalog.Relation(
                    oid: row.oid, name: row.name, schema: schema(row.namespace), kind: kind,
                    hasRowSecurity: row.hasRowSecurity, family: representative(of: row.oid),
                    readBehaviour: row.hasRowSecurity
                        ? readBehaviour[row.oid] ?? .init() : .init(),
                    timeUse: timeUse[row.oid] ?? [],
                    hasOpaqueType: opaqueColumns.contains(row.oid)))
        }
    }

    private static func kind(_ kind: Character) -> PostgreSQLCatalog.Relation.Kind? {
        switch kind {
        case "r", "p": .table
        case "v": .view
        case "m": .materializedView
        case "f": .foreignTable
        case "S": .sequence
        default: nil
        }
    }

    private mutating func addFamilies() {
        for link in rows.inheritance {
            families[representative(of: link.parent), default: .init()].isTree = true
        }
        addForeignKeys()
        for relation in rows.rules + rows.triggers.map(\.relation) {
            families[representative(of: relation), default: .init()].rewritesRows = true
        }
        for trigger in rows.triggers {
            families[representative(of: trigger.relation), default: .init()].triggers.append(
                .init(
                    events: trigger.events, effects: behaviours[trigger.function] ?? .opaque))
        }
        for dependency in rows.dependencies {
            families[representative(of: dependency.relation), default: .init()].behaviour
                .formUnion(behaviours[dependency.function] ?? .opaque)
        }
        for relation in rows.rules {
            families[representative(of: relation), default: .init()].behaviour
                .formUnion(.opaque)
        }
        // A family may hold a foreign table: a write to the parent may leave the database, and
        // come back to it.
        for row in rows.classes where row.kind == "f" {
            families[representative(of: row.oid), default: .init()].behaviour.insert(.mayWrite)
            families[representative(of: row.oid), default: .init()].holdsForeignTable = true
        }
    }

    private mutating func addForeignKeys() {
        var generated: [UInt32: Set<String>] = [:]
        for column in rows.attributes where column.isGenerated {
            generated[column.relation, default: []].insert(column.name)
        }
        for key in rows.foreignKeys {
            let columns = Set(key.referencedColumns)
            let isGenerated = !columns.isDisjoint(with: generated[key.referenced] ?? [])
            families[representative(of: key.referenced), default: .init()].referencedBy.insert(
                PostgreSQLCatalog.Reference(
                    family: representative(of: key.referencing),
                    columns: Set(key.referencingColumns),
                    referencedColumns: isGenerated ? nil : columns,
                    onDelete: key.onDelete, onUpdate: key.onUpdate))
        }
    }
}
