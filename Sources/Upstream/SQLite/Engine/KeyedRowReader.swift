import PostgresWire
import SQLAnalysis

/// Tells from a statement's text which rows of its one table it can read or touch, where the text
/// compares the table's key with integers.
///
/// The client's text is read with PostgreSQL's grammar, and SQLite reads what `SQLiteDialect` makes
/// of it, word for word but for casts and the like. That is done for the plainest statements only,
/// and what SQLite's authorizer says must agree. In these, what stands between two ANDs at the top
/// of a WHERE clause is the same for both grammars; where they tell strings, comments or names
/// apart differently, nothing is read (`isReadAlike`).
struct KeyedRowReader {
    let table: RowidTable
    /// Of `$1…$n`: declared, or else inferred, as the session will read them.
    let parameterTypes: [UInt32]

    /// The one statement in `sql`; nil where the text might be another to SQLite.
    static func facts(of sql: String) -> SyntaxFacts? {
        guard isReadAlike(sql), let all = try? SyntaxAnalysis.facts(of: sql), all.count == 1 else {
            return nil
        }
        return all[0]
    }

    /// Comments nest, and end at a carriage return, for one of the two only; backslashes and
    /// dollars quote for one; brackets and backticks for the other.
    private static func isReadAlike(_ sql: String) -> Bool {
        var previous: UInt8 = 0
        for byte in sql.utf8 {
            switch (previous, byte) {
            case (UInt8(ascii: "-"), UInt8(ascii: "-")), (UInt8(ascii: "/"), UInt8(ascii: "*")),
                (_, UInt8(ascii: "\\")), (_, UInt8(ascii: "[")), (_, UInt8(ascii: "`")):
                return false
            case (UInt8(ascii: "$"), let byte) where !(0x30...0x39).contains(byte): return false
            default: previous = byte
            }
        }
        return true
    }

    // MARK: Reads

    /// What a read depends on that, by the authorizer's word, reads this table and nothing else.
    func scope(of facts: SyntaxFacts) -> RowScope {
        guard case .query = facts.kind, !facts.readsFunction,
            facts.reads.count == 1, let name = facts.reads.first, isTable(name),
            facts.occurrences[name] == 1
        else { return .all }
        let scopes = facts.keyScopes.filter { $0.sources.contains { $0.relation == name } }
        guard scopes.count == 1, let operands = operands(in: scopes[0]),
            operands.count <= KeyedRows.maximumTuples
        else { return .all }
        return .keyed(KeyedRows(columns: [table.key], tuples: operands.map { [$0] }))
    }

    // MARK: Writes

    /// What is known of the rows that a write touches which, by the authorizer's word, writes to
    /// this table and no other.
    func pins(of facts: SyntaxFacts) -> RowPins {
        guard table.isWrittenAsTold, case .dataModification = facts.kind,
            facts.writes.count == 1, let target = facts.writes.first, isTable(target.relation)
        else { return .anyRow }
        switch target.rows {
        case .any: return .anyRow
        case .matched(let scope, let assigned):
            guard let found = operands(in: scope) else { return .anyRow }
            var keys = Set(found)
            for (name, literal) in assigned where isKey(name) {
                // The row gets another key.
                guard let literal, let operand = operand(literal) else { return .anyRow }
                keys.insert(operand)
            }
            return RowPins([table.key: keys])
        case .inserted(let names, let values, let conflict):
            guard conflict == nil else { return .anyRow }
            return inserted(names?.map(\.asciiLowercased) ?? table.columns, values)
        }
    }

    private func inserted(_ names: [String], _ values: [Set<KeyLiteral>?]) -> RowPins {
        let places = names.indices.filter { isKey(names[$0]) }
        guard places.count == 1, let place = places.first, names[place] == table.key,
            place < values.count, let literals = values[place], !literals.isEmpty
        else { return .anyRow }
        var keys: Set<KeyOperand> = []
        for literal in literals {
            // NULL is a key yet to be chosen, and a parameter may be NULL.
            guard case .integer(let value) = literal else { return .anyRow }
            keys.insert(.value(.integer(value)))
        }
        return RowPins([table.key: keys])
    }

    // MARK: Names and values

    private func isTable(_ name: RelationName) -> Bool {
        ["main", "public"].contains(name.schema ?? "main")
            && name.name.asciiLowercased == table.name
    }

    private func isKey(_ column: String) -> Bool {
        let name = column.asciiLowercased
        return name == table.key || RowidTable.aliases.contains(name)
    }

    /// What the key is equal to in every row that passes the scope's conditions; nil where nothing
    /// is said of it.
    private func operands(in scope: KeyScope) -> [KeyOperand]? {
        guard scope.sources.count == 1, let source = scope.sources.first,
            source.relation.map(isTable) == true
        else { return nil }
        var shortest: [KeyOperand]?
        for condition in scope.conditions where condition.filtered.contains(0) {
            guard case .anyOf(let column, let literals) = condition.comparison,
                column.name.asciiLowercased == table.key,
                column.qualifier.map({ $0.asciiLowercased == source.name?.asciiLowercased })
                    ?? true,
                let operands = operands(literals), operands.count < shortest?.count ?? .max
            else { continue }
            shortest = operands
        }
        return shortest
    }

    private func operands(_ literals: [KeyLiteral]) -> [KeyOperand]? {
        var operands: [KeyOperand] = []
        for literal in literals {
            guard let operand = operand(literal) else { return nil }
            if !operands.contains(operand) { operands.append(operand) }
        }
        return operands
    }

    /// nil for what SQLite might compare as something else than an integer: texts and real numbers
    /// equal to one are equal to the key as well.
    private func operand(_ literal: KeyLiteral) -> KeyOperand? {
        switch literal {
        case .integer(let value): .value(.integer(value))
        case .parameter(let index):
            width(ofParameter: index).map {
                .parameter(index, .integer(width: $0))
            }
        case .cast(let inner, let type):
            // Of an integer, a cast to one changes nothing.
            ["int2", "int4", "int8"].contains(type.name) ? operand(inner) : nil
        case .string, .boolean, .null: nil
        }
    }

    /// The size of the parameter's binary form; nil if it is no integer.
    private func width(ofParameter index: Int) -> Int? {
        guard parameterTypes.indices.contains(index) else { return nil }
        return switch parameterTypes[index] {
        case PostgresType.int2.oid: 2
        case PostgresType.int4.oid: 4
        case PostgresType.int8.oid: 8
        default: nil
        }
    }
}
