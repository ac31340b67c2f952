import SQLAnalysis
import Testing

@Suite("Rows, bound to parameters")
struct RowBindingTests {
    /// Parameter 0 is 10, 1 is NULL, 2 the array {20, 21}; others cannot be read.
    private struct Parameters: KeyParameters {
        func values(at index: Int, as type: KeyType, isArray: Bool) -> [KeyValue]? {
            switch (index, isArray) {
            case (0, false): [.integer(10)]
            case (1, false): []
            case (2, true): [.integer(20), .integer(21)]
            case (3, true): (0..<60).map { .integer($0) }
            default: nil
            }
        }
    }

    private let type = KeyType.integer(width: 4)
    private let parameters = Parameters()

    private func value(_ integer: Int64) -> KeyOperand { .value(.integer(integer)) }

    @Test("the tuples of a scope are those of its operands' values")
    func scope() {
        let rows = KeyedRows(
            columns: ["a", "b"],
            tuples: [
                [value(1), .parameter(0, type)], [value(2), .anyElement(ofParameter: 2, type)],
            ])
        #expect(rows.namesParameters)
        #expect(
            rows.values(in: parameters) == [
                [.integer(1), .integer(10)], [.integer(2), .integer(20)],
                [.integer(2), .integer(21)],
            ])
        let constant = KeyedRows(columns: ["a"], tuples: [[value(1)], [.null], [value(2)]])
        #expect(!constant.namesParameters)
        #expect(constant.values(in: parameters) == [[.integer(1)], [.integer(2)]])
    }

    @Test("a tuple with NULL in it is no row; one that cannot be read is any")
    func nullAndUnknown() {
        func values(_ operands: KeyOperand...) -> [[KeyValue]]? {
            KeyedRows(columns: ["a", "b"], tuples: [operands]).values(in: parameters)
        }
        #expect(values(value(1), .parameter(1, type)) == [])
        #expect(values(.null, value(1)) == [])
        #expect(values(value(1), .parameter(9, type)) == nil)
        #expect(values(value(1), .parameter(2, type)) == nil)
    }

    @Test("a scope of too many tuples is not known")
    func tooMany() {
        let many = KeyOperand.anyElement(ofParameter: 3, type)
        func count(_ tuples: [[KeyOperand]], _ columns: [String]) -> Int? {
            KeyedRows(columns: columns, tuples: tuples).values(in: parameters)?.count
        }
        #expect(count([[many], [value(1)]], ["a"]) == 61)
        #expect(count([[many], [many]], ["a"]) == nil)
        #expect(count([[many, many]], ["a", "b"]) == nil)
    }

    @Test("pins keep the columns whose values are all known")
    func pins() {
        let pins = RowPins([
            "constant": [value(1), .null], "known": [.parameter(0, type), value(2)],
            "nothing": [.parameter(1, type)], "list": [.anyElement(ofParameter: 2, type)],
            "unknown": [value(1), .parameter(9, type)],
        ])
        #expect(pins.namesParameters)
        let bound = pins.bound(to: parameters)
        #expect(!bound.namesParameters)
        #expect(
            bound.columns == [
                "constant": [value(1)], "known": [value(10), value(2)], "nothing": [],
                "list": [value(20), value(21)],
            ])
        let others = Set((100..<105).map { value($0) })
        let many = RowPins(["a": others.union([.anyElement(ofParameter: 3, type)])])
        #expect(many.bound(to: parameters).columns.isEmpty)
    }

    @Test("a write set is bound in each of its relations")
    func writeSet() {
        let set = WriteSet.relations([
            RelationIdentifier("1"): RowPins(["id": [.parameter(0, type)]]),
            RelationIdentifier("2"): .anyRow,
        ])
        #expect(set.namesParameters)
        #expect(
            set.bound(to: parameters)
                == .relations([
                    RelationIdentifier("1"): RowPins(["id": [value(10)]]),
                    RelationIdentifier("2"): .anyRow,
                ]))
        for other in [WriteSet.nothing, .everything, .everythingAndCatalog] {
            #expect(!other.namesParameters)
            #expect(other.bound(to: parameters) == other)
        }
    }
}
