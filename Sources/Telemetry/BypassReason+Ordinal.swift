extension BypassReason {
    /// The position in `allCases`, without the array that `allCases` makes or a search through it:
    /// an enumeration without payloads is stored as the number of its case.
    var ordinal: Int {
        Int(unsafeBitCast(self, to: UInt8.self))
    }
}
