import Mutants
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis

/// Writes cache keys. Every variable part is preceded by its length, so that no two different
/// requests have the same bytes (design §4, The session).
///
/// Layout: identity now (8) · identity at Parse (8) · text length (4) · text · parameter type
/// count (2) · type OIDs (4 each) · parameter formats · parameter values · result formats, the
/// last three as in a Bind message, with the spellings of "all text" made one.
/// https://www.postgresql.org/docs/15/protocol-message-formats.html
enum CacheKeyWriter {
    /// The part that a prepared statement contributes: made once, at Parse.
    static func statementPart(query: ByteBufferView, parameterTypes: [UInt32]) -> ByteBuffer {
        var part = ByteBuffer()
        part.reserveCapacity(query.count + 6 + parameterTypes.count * 4)
        part.writeInteger(UInt32(query.count))
        part.writeBytes(query)
        part.writeInteger(UInt16(truncatingIfNeeded: parameterTypes.count))
        for type in parameterTypes { part.writeInteger(type) }
        return part
    }

    /// The key of a simple Query of one statement: it shares the entry of the same text executed
    /// without parameters and with all results as text.
    static func writeSimple(
        query: ByteBufferView, identity: SessionIdentity, parseIdentity: SessionIdentity? = nil,
        into key: inout ByteBuffer
    ) {
        key.clear()
        key.writeInteger(identity.number)
        key.writeInteger((parseIdentity ?? identity).number)
        key.writeInteger(UInt32(query.count))
        key.writeBytes(query)
        key.writeInteger(UInt16(0))
        writeAllTextBind(into: &key)
    }

    /// The key of a bound portal. `bindTail` is what follows the two names in a Bind message.
    /// False where that is malformed: there is no key then.
    static func writeBound(
        statement: PreparedStatement, identity: SessionIdentity, bindTail: ByteBuffer,
        into key: inout ByteBuffer
    ) -> Bool {
        guard let shape = BindShape(bindTail) else { return false }
        key.clear()
        key.writeInteger(identity.number)
        key.writeInteger(
            Mutant.keyWithoutParseSettings.isActive
                ? identity.number : statement.parseIdentity.number)
        key.writeImmutableBuffer(statement.keyPart)
        if Mutant.keyWithoutLengths.isActive {
            writeWithoutLengths(bindTail, into: &key)
        } else if shape.hasNoParameters, shape.resultsAreText {
            writeAllTextBind(into: &key)
        } else {
            key.writeImmutableBuffer(bindTail)
        }
        return true
    }

    /// The fault that is to be noticed: formats and values one after the other.
    private static func writeWithoutLengths(_ bindTail: ByteBuffer, into key: inout ByteBuffer) {
        var tail = bindTail
        for isValue in [false, true, false] {
            for _ in 0..<(tail.readInteger(as: UInt16.self) ?? 0) {
                let length = isValue ? tail.readInteger(as: Int32.self) ?? 0 : 2
                guard var field = tail.readSlice(length: max(0, Int(length))) else { return }
                key.writeBuffer(&field)
            }
        }
    }

    /// No parameter formats, no parameters, no result formats.
    private static func writeAllTextBind(into key: inout ByteBuffer) {
        key.writeInteger(UInt16(0))
        key.writeInteger(UInt16(0))
        key.writeInteger(UInt16(0))
    }
}

/// What the part of a Bind message after its two names says, as far as keys and fills must know.
struct BindShape {
    /// Neither are there, nor more formats for them than fit any statement.
    private(set) var hasNoParameters = false
    /// For any number of columns: a format for each of several must be as many as there are, which
    /// is for the server to judge.
    private(set) var resultsAreText = true
    /// Whether a parameter in text format holds a word that a date type would read as the current
    /// time. Only determined on request.
    private(set) var hasRelativeTime = false

    /// nil where the bytes are not exactly such a part: the server will say what is wrong with it.
    init?(_ bindTail: ByteBuffer, inspectsText: Bool = false) {
        var tail = bindTail
        guard let formatCount = tail.readInteger(as: UInt16.self),
            var formats = tail.readSlice(length: Int(formatCount) * 2),
            let parameterCount = tail.readInteger(as: UInt16.self)
        else { return nil }
        hasNoParameters = parameterCount == 0 && formatCount <= 1
        var format: UInt16 = 0
        for _ in 0..<parameterCount {
            // One format holds for all parameters; otherwise each has its own.
            if let next = formats.readInteger(as: UInt16.self) { format = next }
            guard let length = tail.readInteger(as: Int32.self) else { return nil }
            if length < 0 { continue }
            guard let value = tail.readSlice(length: Int(length)) else { return nil }
            if inspectsText, format == 0, RelativeTime.isMentioned(inUTF8: value.readableBytesView)
            {
                hasRelativeTime = true
            }
        }
        guard let resultCount = tail.readInteger(as: UInt16.self) else { return nil }
        resultsAreText = resultCount <= 1
        for _ in 0..<resultCount {
            guard let resultFormat = tail.readInteger(as: UInt16.self) else { return nil }
            if resultFormat != 0 { resultsAreText = false }
        }
        guard tail.readableBytes == 0 else { return nil }
    }
}
