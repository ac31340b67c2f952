import Telemetry

/// Follows the names of a statement through views, and gathers what the answer depends on and
/// what else running it may do.
struct DependencyScan {
    /// Views nested more deeply are taken for opaque.
    private static let maximumViewDepth = 64

    let catalog: PostgreSQLCatalog
    private(set) var relations: [Relation] = []
    private(set) var bypassReason: BypassReason?
    var behaviour = FunctionEffects()
    /// Settings with a dot in their names that the answer depends on.
    private(set) var settingsRead: Set<String> = []
    private(set) var timeUse: PostgreSQLCatalog.TimeUse = []
    private(set) var hasRelativeTimeLiteral = false
    private(set) var convertsTimeZone = false

    private var seenRelations: Set<Relation> = []
    /// Families read without a key somewhere, and the keyed reads of any.
    private var readWholly: Set<RelationIdentifier> = []
    private var keyedScopes: [RelationIdentifier: Set<RowScope>] = [:]
    private var seenViews: Set<UInt32> = []
    private var seenPolicies: Set<UInt32> = []
    var isSubjectToPolicies: Bool { !seenPolicies.isEmpty }
    private var viewDepth = 0

    init(catalog: PostgreSQLCatalog) {
        self.catalog = catalog
    }

    mutating func bypass(_ reason: BypassReason) {
        if bypassReason == nil { bypassReason = reason }
    }

    /// The rows that the answer depends on: at least one dependency for each of `relations`.
    var dependencies: [RowDependency] {
        relations.map(\.identifier).uniqued().flatMap { identifier -> [RowDependency] in
            let scopes = keyedScopes[identifier] ?? []
            if scopes.isEmpty || readWholly.contains(identifier) {
                return [RowDependency(relation: identifier, scope: .all)]
            }
            return scopes.map { RowDependency(relation: identifier, scope: $0) }
        }
    }

    /// Takes in a statement's, or a view body's, facts.
    ///
    /// - Parameter rows: tells which rows the conditions leave; without it all rows are read.
    ///   Give none where names or parameters may mean something else: in a function's body.
    mutating func read(_ facts: SyntaxFacts, path: SearchPath, rows: RowResolver? = nil) {
        let scopes = rows?.scopes(of: facts) ?? [:]
        hasRelativeTimeLiteral = hasRelativeTimeLiteral || facts.hasRelativeTimeLiteral
        settingsRead.formUnion(facts.settingsRead)
        if let code = facts.code { behaviour.formUnion(catalog.code.effects(of: code)) }
        if catalog.hasUntrustedCast {
            bypass(.userDefinedType)
            behaviour.formUnion(catalog.castBehaviour)
        }
        let sources = facts.reads.sorted { ($0.schema ?? "", $0.name) < ($1.schema ?? "", $1.name) }
            .flatMap { read($0, scopes: scopes[$0], path: path) }
        for use in facts.functions { check(use, path: path) }
        for name in facts.operators {
            guard let behaviour = catalog.untrustedOperators[name] else { continue }
            bypass(.userDefinedOperator)
            self.behaviour.formUnion(behaviour)
        }
        for use in facts.types { check(use, path: path) }
        for name in facts.columns {
            for function in catalog.rowFunctions(named: name, path: path) {
                bypass(.userDefinedFunction)
                behaviour.formUnion(function.behaviour)
            }
        }
        checkTimeCasts(facts, sources, path: path)
    }

    // MARK: Relations

    private mutating func read(
        _ name: RelationName, scopes: Set<RowScope>?, path: SearchPath
    ) -> [PostgreSQLCatalog.Relation] {
        if name.isTemporary {
            bypass(.temporaryTable)
            readTemporaryViews(named: name.name)
            return []
        }
        let candidates = catalog.relations(named: name, path: path)
        if path.namesTemporarySchema { bypass(.temporaryTable) }
        if candidates.isEmpty {
            bypass(.unknownRelation)
            readTemporaryViews(named: name.name)
        }
        for relation in candidates { read(relation, scopes: scopes) }
        return candidates
    }

    /// A temporary view of this session cannot be told from another's.
    private mutating func readTemporaryViews(named name: String) {
        for oid in catalog.temporaryViews[name] ?? [] { expandView(oid) }
    }

    mutating func read(_ relation: PostgreSQLCatalog.Relation, scopes: Set<RowScope>? = nil) {
        behaviour.formUnion(relation.readBehaviour)
        timeUse.formUnion(relation.timeUse)
        if relation.hasRowSecurity { readPolicies(of: relation) }
        if relation.hasOpaqueType { bypass(.userDefinedType) }
        if relation.isSystem {
            bypass(.systemCatalog)
            return
        }
        switch relation.kind {
        case .table, .materializedView:
            if catalog.family(relation.family).holdsForeignTable { bypass(.foreignTable) }
            let identifier = relation.relation.identifier
            if let scopes {
                keyedScopes[identifier, default: []].formUnion(scopes)
            } else {
                readWholly.insert(identifier)
            }
            if seenRelations.insert(relation.relation).inserted {
                relations.append(relation.relation)
            }
        case .view: expandView(relation.oid)
        case .foreignTable: bypass(.foreignTable)
        case .sequence: bypass(.sequence)
        }
    }

    /// All checks apply to the view's body, whose names are resolved with an empty path.
    mutating func expandView(_ oid: UInt32) {
        guard seenViews.insert(oid).inserted else { return }
        guard let body = catalog.definition(of: oid), viewDepth < Self.maximumViewDepth else {
            bypass(.unsupportedSyntax)
            behaviour = .opaque
            return
        }
        viewDepth += 1
        defer { viewDepth -= 1 }
        for facts in body {
            if case .query = facts.kind {} else { behaviour = .opaque }
            if let reason = facts.bypassReason { bypass(reason) }
            if facts.takesRowLocks { behaviour.insert(.takesLocks) }
            // A view's body has no parameters.
            let rows = RowResolver(
                catalog: catalog, path: .empty, facts: facts, parameterTypes: [])
            read(facts, path: .empty, rows: rows)
        }
    }

    /// Takes in all that the table's policies depend on.
    ///
    /// Which policies apply, and whether any does (owner, superuser, BYPASSRLS, FORCE), follows
    /// from the role and from the catalog alone: the role is in the cache's key, and every change
    /// of the catalog ends all entries. So does the value of an identity function and of a setting
    /// in a condition. What is left are the tables that the conditions read: they join the read
    /// set, whether or not this role's answer depends on them. A condition that depends on
    /// anything else keeps the table out of the cache.
    mutating func readPolicies(of relation: PostgreSQLCatalog.Relation) {
        guard seenPolicies.insert(relation.oid).inserted else { return }
        guard let policies = catalog.policies(of: relation.oid) else {
            bypass(.rowLevelSecurity)
            return
        }
        let outer = bypassReason
        for facts in policies {
            if facts.kind != .query || facts.bypassReason != nil || facts.takesRowLocks {
                bypass(.rowLevelSecurity)
            }
            read(facts, path: .empty)
        }
        if outer == nil, bypassReason != nil { bypassReason = .rowLevelSecurity }
    }

    // MARK: Functions

    private mutating func check(_ use: FunctionUse, path: SearchPath) {
        let candidates = catalog.functions(for: use, path: path)
        let users = candidates.filter { !$0.isBuiltin }
        for function in users {
            bypass(.userDefinedFunction)
            behaviour.formUnion(function.behaviour)
        }
        if candidates.isEmpty {
            checkUnknown(use, path: path)
            return
        }
        let builtins = candidates.filter(\.isBuiltin)
        let matching = builtins.filter { $0.accepts(use.argumentCount) }
        for function in matching.isEmpty ? builtins : matching {
            behaviour.formUnion(function.behaviour)
            timeUse.formUnion(function.timeUse)
            if let reason = Self.bypassReason(use, function) { bypass(reason) }
        }
        if use.name == "timezone" { convertsTimeZone = true }
        // `date(x)` and the like may be casts.
        if use.argumentCount == 1, !builtins.isEmpty {
            let type = TypeUse(schema: use.schema, name: use.name)
            if !catalog.types(for: type, path: path).isEmpty { check(type, path: path) }
        }
    }

    private static func bypassReason(
        _ use: FunctionUse, _ function: PostgreSQLCatalog.Function
    ) -> BypassReason? {
        if function.volatility == "i" || use.readsKnownSetting { return nil }
        if BuiltinFunctions.reviewedStable.contains(use.name) { return nil }
        switch use.name {
        case "now", "transaction_timestamp", "statement_timestamp", "age", "current_user",
            "session_user", "current_schema", "current_schemas", "current_database":
            return .currentTimeOrUser
        default:
            return function.volatility == "v" ? .volatileFunction : .stableFunction
        }
    }

    /// No function has the name: a cast in function notation, a column in function notation, or
    /// something made since the catalog was read or kept in pg_temp.
    private mutating func checkUnknown(_ use: FunctionUse, path: SearchPath) {
        let type = TypeUse(schema: use.schema, name: use.name)
        if use.argumentCount == 1, !catalog.types(for: type, path: path).isEmpty {
            check(type, path: path)
            return
        }
        bypass(.userDefinedFunction)
        behaviour = .opaque
    }

    // MARK: Types

    private mutating func check(_ use: TypeUse, path: SearchPath) {
        behaviour.formUnion(catalog.code.effects(ofName: use.name))
        let classes = catalog.types(for: use, path: path)
        if classes.isEmpty { bypass(.userDefinedType) }
        for type in classes {
            switch type {
            case .plain(let use): timeUse.formUnion(use)
            case .other:
                timeUse.insert(.any)
                bypass(.userDefinedType)
            }
        }
    }

    /// A text that becomes a date at run time may say `today`: a cast to a date or time type is
    /// allowed only of what certainly is no text.
    private mutating func checkTimeCasts(
        _ facts: SyntaxFacts, _ sources: [PostgreSQLCatalog.Relation], path: SearchPath
    ) {
        if facts.hasUnprovenTimeCast { bypass(.stableFunction) }
        for column in facts.timeCastColumns {
            let found = sources.compactMap { catalog.isTime(column: column, of: $0) }
            let isTime = !found.isEmpty && found.allSatisfy { $0 }
            if !isTime || facts.readsFunction || facts.aliases.contains(column) {
                bypass(.stableFunction)
            }
        }
        for use in facts.timeCastFunctions {
            let candidates = catalog.functions(for: use, path: path)
            let areTime = !candidates.isEmpty && candidates.allSatisfy(\.returnsTime)
            if !areTime { bypass(.stableFunction) }
        }
    }
}

extension Sequence where Element: Hashable {
    /// The elements in order, each once.
    fileprivate func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
