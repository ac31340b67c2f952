import CLibPQ

/// The rows of one answer on the control connection, as text. Frees them when it goes.
final class ControlResult {
    private let result: OpaquePointer

    init(taking result: OpaquePointer) {
        self.result = result
    }

    deinit {
        PQclear(result)
    }

    var rowCount: Int { Int(PQntuples(result)) }

    var columnCount: Int { Int(PQnfields(result)) }

    /// nil for NULL, and for a row or column that is not there.
    func text(_ row: Int, _ column: Int) -> String? {
        guard row >= 0, row < rowCount, column >= 0, column < Int(PQnfields(result)),
            PQgetisnull(result, Int32(row), Int32(column)) == 0,
            let value = PQgetvalue(result, Int32(row), Int32(column))
        else { return nil }
        return String(cString: value)
    }

    func oid(_ row: Int, _ column: Int) throws(ControlError) -> UInt32 {
        guard let text = text(row, column), let oid = UInt32(text) else {
            throw ControlError("the catalog answered with something that is no OID")
        }
        return oid
    }

    func string(_ row: Int, _ column: Int) throws(ControlError) -> String {
        guard let text = text(row, column) else {
            throw ControlError("the catalog answered with NULL where a name belongs")
        }
        return text
    }

    func character(_ row: Int, _ column: Int) throws(ControlError) -> Character {
        guard let character = text(row, column)?.first else {
            throw ControlError("the catalog answered with nothing where a letter belongs")
        }
        return character
    }

    func boolean(_ row: Int, _ column: Int) -> Bool { text(row, column) == "t" }
}
