import NIOCore
import SQLAnalysis

/// The parameters in a Bind message, where keys are made of them.
struct BoundParameters: KeyParameters {
    /// One parameter's place in the message; `length` is -1 for NULL.
    private struct Place {
        var offset: Int
        var length: Int
        var isBinary: Bool
    }

    private let message: ByteBuffer
    private var places: [Place] = []
    /// Whether text is in UTF-8. In any other encoding only ASCII means the same.
    private let textIsUTF8: Bool

    /// `bindTail` is what follows the two names in a Bind message. Of one that is malformed no
    /// parameter can be read: the server will say what is wrong with it.
    init(_ bindTail: ByteBuffer, textIsUTF8: Bool) {
        message = bindTail
        self.textIsUTF8 = textIsUTF8
        var tail = bindTail
        guard let formatCount = tail.readInteger(as: UInt16.self),
            var formats = tail.readSlice(length: Int(formatCount) * 2),
            let count = tail.readInteger(as: UInt16.self),
            formatCount <= 1 || formatCount == count, Int(count) * 4 <= tail.readableBytes
        else { return }
        places.reserveCapacity(Int(count))
        var format: UInt16 = 0
        for _ in 0..<count {
            // One format holds for all parameters; otherwise each has its own.
            if let next = formats.readInteger(as: UInt16.self) { format = next }
            guard format <= 1, let length = tail.readInteger(as: Int32.self), length >= -1 else {
                places.removeAll()
                return
            }
            places.append(
                Place(offset: tail.readerIndex, length: Int(length), isBinary: format == 1))
            guard length > 0 else { continue }
            guard Int(length) <= tail.readableBytes else {
                places.removeAll()
                return
            }
            tail.moveReaderIndex(forwardBy: Int(length))
        }
    }

    func values(at index: Int, as type: KeyType, isArray: Bool) -> [KeyValue]? {
        guard places.indices.contains(index) else { return nil }
        let place = places[index]
        if place.length < 0 { return [] }
        let values = message.withUnsafeReadableBytes { bytes -> [KeyValue]? in
            let start = place.offset - message.readerIndex
            let value = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + place.length)])
            return switch (isArray, place.isBinary) {
            case (false, false): KeyValue(text: value, as: type).map { [$0] }
            case (false, true): KeyValue(binary: value, as: type).map { [$0] }
            case (true, false): KeyValue.elements(text: value, as: type)
            case (true, true): KeyValue.elements(binary: value, as: type)
            }
        }
        guard case .text = type, !textIsUTF8, let values else { return values }
        return values.allSatisfy(\.isASCII) ? values : nil
    }
}

extension KeyValue {
    fileprivate var isASCII: Bool {
        guard case .text(let bytes) = self else { return true }
        return bytes.allSatisfy { $0 < 128 }
    }
}

/// For statements that are executed without: none can be read.
struct NoParameters: KeyParameters {
    func values(at index: Int, as type: KeyType, isArray: Bool) -> [KeyValue]? { nil }
}
