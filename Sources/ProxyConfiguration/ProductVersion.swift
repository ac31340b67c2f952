/// The version of Mynah, as `mynah --version` and the metrics give it.
package enum ProductVersion {
    package static let text = "0.1.0"
}
