/// What a statement compares a column with, or sets it to.
package enum KeyOperand: Hashable, Sendable {
    case value(KeyValue)
    /// NULL equals no value: it adds no key.
    case null
    /// The value of a parameter (counted from 0), to be read as this type when it is bound.
    case parameter(Int, KeyType)
    /// Any element of a parameter that is an array: `= ANY ($1)`.
    case anyElement(ofParameter: Int, KeyType)
}

/// The parameters of one execution, as far as keys need them.
package protocol KeyParameters {
    /// The values that the parameter at `index` (from 0) stands for: one for a scalar, none for
    /// NULL, several for an array if `isArray`. nil where it cannot be read for certain.
    func values(at index: Int, as type: KeyType, isArray: Bool) -> [KeyValue]?
}
