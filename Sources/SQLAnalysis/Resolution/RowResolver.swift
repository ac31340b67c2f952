import Mutants

/// Tells from a statement's conditions, and the catalog, which rows of a table can matter to it.
///
/// A source's column is pinned to some values where its rows with other values (or NULL) can
/// change nothing that the statement reads or touches:
///
/// 1. `column = value`, as a conjunct of a condition that filters the source, pins it: of what is
///    joined with such a row nothing gets through the condition. The row may also keep an outer
///    join *below* from extending other rows with NULLs; those would have NULL in the column, and
///    do not get through either.
/// 2. `column = other`, as a conjunct of a condition that filters the source, hands on the pins of
///    `other`: such a row only meets rows in which `other` has a value outside its pins too. If
///    the condition that pins `other` stands below, there are none. If it stands above, none of
///    what the row takes part in, or displaces, gets through it. It is not handed on from the
///    nullable side of an outer join to the preserved one, which that condition does not filter.
///
/// Grouping, ordering, limits and subqueries come after the conditions, or are scopes of their own.
struct RowResolver {
    private let catalog: PostgreSQLCatalog
    private let path: SearchPath
    private let reader: OperandReader

    init(
        catalog: PostgreSQLCatalog, path: SearchPath, facts: SyntaxFacts, parameterTypes: [UInt32]
    ) {
        self.catalog = catalog
        self.path = path
        reader = OperandReader(
            catalog: catalog, path: path, parameterTypes: parameterTypes,
            parameterUses: facts.parameterUses)
    }

    typealias Pins = [String: [KeyOperand]]

    // MARK: Reads

    /// For each table, by the name that the statement uses, the rows of it that matter; nothing
    /// for a name of which all rows do.
    func scopes(of facts: SyntaxFacts) -> [RelationName: Set<RowScope>] {
        var scopes: [RelationName: Set<RowScope>] = [:]
        var keyedOccurrences: [RelationName: Int] = [:]
        for scope in facts.keyScopes {
            let pins = pins(in: scope)
            for (source, pins) in zip(scope.sources, pins) where !pins.isEmpty {
                guard let name = source.relation, let columns = columns(of: name) else { continue }
                let rows = columns.scope(pins)
                if rows == .all { continue }
                scopes[name, default: []].insert(rows)
                keyedOccurrences[name, default: 0] += 1
            }
        }
        // What is read anywhere else in the statement is read without a key.
        return scopes.filter { keyedOccurrences[$0.key] == facts.occurrences[$0.key] }
    }

    /// The columns of the one table that the name can mean; nil for anything else.
    private func columns(of name: RelationName) -> KeyColumns? {
        let candidates = catalog.relations(named: name, path: path)
        guard candidates.count == 1, candidates[0].kind == .table, !candidates[0].isSystem,
            !name.isTemporary, !path.namesTemporarySchema
        else { return nil }
        return catalog.keyColumns(of: candidates[0].oid)
    }

    // MARK: Conditions

    private struct Place: Hashable {
        let source: Int
        let column: String
        let type: KeyType
    }

    /// The pinned columns of each source.
    private func pins(in scope: KeyScope) -> [Pins] {
        let tables = scope.sources.map { $0.relation.flatMap(columns) }
        var pins: [Pins] = Array(repeating: [:], count: tables.count)
        var edges: [(from: Place, to: Place)] = []
        for condition in scope.conditions {
            func places(_ name: ColumnName) -> [Place] {
                Self.places(name, condition.visible, scope, tables)
            }
            switch condition.comparison {
            case .anyOf(let column, let literals):
                let places = places(column)
                for place in places where condition.filtered.contains(place.source) {
                    guard places.allSatisfy({ $0.type == place.type }),
                        let operands = reader.operands(literals, comparedWith: place.type)
                    else { continue }
                    Self.pin(place, to: operands, in: &pins)
                }
            case .anyElement(let column, let parameter, let cast):
                let places = places(column)
                for place in places where condition.filtered.contains(place.source) {
                    guard places.allSatisfy({ $0.type == place.type }),
                        let operand = reader.anyElement(
                            of: parameter, cast: cast, comparedWith: place.type)
                    else { continue }
                    Self.pin(place, to: [operand], in: &pins)
                }
            case .equal(let left, let right):
                Self.connect(places(left), places(right), condition.filtered, &edges)
            case .merged(let name, let left, let right):
                let column = ColumnName(qualifier: nil, name: name)
                Self.connect(
                    Self.places(column, left, scope, tables, isMerged: true),
                    Self.places(column, right, scope, tables, isMerged: true),
                    condition.filtered, &edges)
            }
        }
        Self.handOn(edges, &pins)
        return pins
    }

    /// The columns that a name means; none where that is not certain.
    private static func places(
        _ name: ColumnName, _ visible: Range<Int>, _ scope: KeyScope, _ tables: [KeyColumns?],
        isMerged: Bool = false
    ) -> [Place] {
        var having: [(source: Int, type: KeyType?)] = []
        if let qualifier = name.qualifier {
            let named = visible.filter { scope.sources[$0].name == qualifier }
            guard named.count == 1, let table = tables[named[0]], table.names.contains(name.name)
            else { return [] }
            having = [(named[0], table.types[name.name])]
        } else {
            // Two columns of the name that are not merged are an error of the statement. What
            // they are merged with below an outer join, or in something whose columns are not
            // known, can have another value or another type.
            if scope.mergesColumns {
                guard isMerged || !scope.hasOuterJoin,
                    visible.allSatisfy({ tables[$0] != nil })
                else { return [] }
            }
            for source in visible {
                guard let table = tables[source], table.names.contains(name.name) else { continue }
                having.append((source, table.types[name.name]))
            }
            guard having.count <= 1 || scope.mergesColumns else { return [] }
        }
        let places = having.compactMap { source, type in
            type.map { Place(source: source, column: name.name, type: $0) }
        }
        return places.count == having.count ? places : []
    }

    private static func pin(_ place: Place, to operands: [KeyOperand], in pins: inout [Pins]) {
        // Two conditions on one column: each is true by itself.
        if let known = pins[place.source][place.column], known.count <= operands.count { return }
        pins[place.source][place.column] = operands
    }

    private static func connect(
        _ left: [Place], _ right: [Place], _ filtered: Range<Int>,
        _ edges: inout [(from: Place, to: Place)]
    ) {
        for one in left {
            for other in right where one != other && one.type.isComparable(with: other.type) {
                if filtered.contains(one.source) { edges.append((from: other, to: one)) }
                if filtered.contains(other.source) { edges.append((from: one, to: other)) }
            }
        }
    }

    private static func handOn(_ edges: [(from: Place, to: Place)], _ pins: inout [Pins]) {
        var changed = true
        while changed {
            changed = false
            for (from, to) in edges {
                guard pins[to.source][to.column] == nil,
                    let operands = pins[from.source][from.column]
                else { continue }
                pins[to.source][to.column] = operands
                changed = true
            }
        }
    }

    // MARK: Writes

    /// What is known of every row of its target that a write touches, as it was and as it becomes.
    func pins(of rows: WrittenRows, target: PostgreSQLCatalog.Relation) -> RowPins {
        guard let columns = catalog.keyColumns(of: target.oid) else { return .anyRow }
        switch rows {
        case .any: return .anyRow
        case .matched(let scope, let assigned):
            guard let found = pins(in: scope).first else { return .anyRow }
            return matched(found.mapValues(Set.init), assigned, columns)
        case .inserted(let names, let values, let conflict):
            return inserted(names ?? columns.names, values, conflict, columns)
        }
    }

    private func matched(
        _ found: [String: Set<KeyOperand>], _ assigned: [String: KeyLiteral?],
        _ columns: KeyColumns
    ) -> RowPins {
        var pins = found
        for (name, literal) in assigned where pins[name] != nil {
            if Mutant.movedKeyIgnored.isActive { continue }
            if let literal, let operand = operand(literal, name, columns) {
                pins[name]?.insert(operand)
            } else {
                pins[name] = nil
            }
        }
        return RowPins(pins)
    }

    private func inserted(
        _ names: [String], _ values: [Set<KeyLiteral>?], _ conflict: ConflictUpdate?,
        _ columns: KeyColumns
    ) -> RowPins {
        var pins: [String: Set<KeyOperand>] = [:]
        for (name, literals) in zip(names, values) {
            guard let literals, !literals.isEmpty else { continue }
            let operands = literals.compactMap { operand($0, name, columns) }
            if operands.count == literals.count { pins[name] = Set(operands) }
        }
        guard let conflict else { return RowPins(pins) }
        // The row that is there already is known only by the columns of the conflict, and only if
        // the index compares them as the columns' own type does.
        if columns.hasLooseUniqueIndex { return .anyRow }
        pins = pins.filter { conflict.target.contains($0.key) }
        for (name, assignment) in conflict.assigned where pins[name] != nil {
            switch assignment {
            case .proposed: break
            case .literal(let literal):
                if Mutant.movedKeyIgnored.isActive { continue }
                if let operand = operand(literal, name, columns) {
                    pins[name]?.insert(operand)
                } else {
                    pins[name] = nil
                }
            case .unknown: pins[name] = nil
            }
        }
        return RowPins(pins)
    }

    private func operand(
        _ literal: KeyLiteral, _ name: String, _ columns: KeyColumns
    ) -> KeyOperand? {
        guard let type = columns.types[name] else { return nil }
        return reader.operand(
            literal, assignedTo: type, isLimited: columns.limited.contains(name))
    }
}
