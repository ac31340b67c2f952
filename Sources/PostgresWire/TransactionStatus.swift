/// The session's transaction state, as ReadyForQuery reports it.
package enum TransactionStatus: UInt8, Hashable, Sendable {
    case idle = 0x49  // I
    case inBlock = 0x54  // T
    case failed = 0x45  // E
}
