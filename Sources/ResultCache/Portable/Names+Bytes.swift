import NIOCore

// What cells and identities are called, as bytes for another process.

extension CellName {
    private enum Kind: UInt8 {
        case schema = 0
        case catalog = 1
        case all = 2
        case wide = 3
    }

    private static let maximumColumns = 64

    package func write(to buffer: inout ByteBuffer) {
        switch self {
        case .schema(let database):
            buffer.writeInteger(Kind.schema.rawValue)
            buffer.writeCounted(database)
        case .catalog(let database):
            buffer.writeInteger(Kind.catalog.rawValue)
            buffer.writeCounted(database)
        case .all(let database, let relation):
            buffer.writeInteger(Kind.all.rawValue)
            buffer.writeCounted(database)
            buffer.writeCounted(relation)
        case .wide(let database, let relation, let columns):
            buffer.writeInteger(Kind.wide.rawValue)
            buffer.writeCounted(database)
            buffer.writeCounted(relation)
            // Of more there are no keys; a reader takes fewer still.
            buffer.writeInteger(UInt8(clamping: columns.count))
            for column in columns { buffer.writeCounted(column) }
        }
    }

    /// nil where the bytes are none at the reader index.
    package init?(from buffer: inout ByteBuffer) {
        guard let kind = buffer.readInteger(as: UInt8.self).flatMap(Kind.init),
            let database = buffer.readCounted()
        else { return nil }
        switch kind {
        case .schema: self = .schema(database: database)
        case .catalog: self = .catalog(database: database)
        case .all:
            guard let relation = buffer.readCounted() else { return nil }
            self = .all(database: database, relation: relation)
        case .wide:
            guard let relation = buffer.readCounted(),
                let count = buffer.readInteger(as: UInt8.self), count <= Self.maximumColumns
            else { return nil }
            var columns: [String] = []
            for _ in 0..<count {
                guard let column = buffer.readCounted() else { return nil }
                columns.append(column)
            }
            self = .wide(database: database, relation: relation, columns: columns)
        }
    }
}

extension SessionIdentityTable.Components {
    private static let maximumSettings = 4096

    /// Whether another process takes it. (A client can make any number of settings.)
    package var isPortable: Bool { settings.count <= Self.maximumSettings }

    /// Must be portable.
    package func write(to buffer: inout ByteBuffer) {
        precondition(isPortable, "an identity with more settings than a reader takes")
        buffer.writeCounted(database)
        buffer.writeCounted(user)
        buffer.writeInteger(UInt16(settings.count))
        for (name, value) in settings {
            buffer.writeCounted(name)
            buffer.writeCounted(value)
        }
    }

    /// nil where the bytes are none at the reader index.
    package init?(from buffer: inout ByteBuffer) {
        guard let database = buffer.readCounted(), let user = buffer.readCounted(),
            let count = buffer.readInteger(as: UInt16.self), count <= Self.maximumSettings
        else { return nil }
        var settings: [String: String] = [:]
        for _ in 0..<count {
            guard let name = buffer.readCounted(), let value = buffer.readCounted() else {
                return nil
            }
            settings[name] = value
        }
        self.init(database: database, user: user, settings: settings)
    }
}

extension ByteBuffer {
    package mutating func writeCounted(_ text: String) {
        writeInteger(UInt32(text.utf8.count))
        writeString(text)
    }

    package mutating func readCounted() -> String? {
        guard let length = readInteger(as: UInt32.self) else { return nil }
        return readString(length: Int(length))
    }
}
