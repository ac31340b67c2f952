import Foundation
import ProxyConfiguration

/// Which program this is: its version, and the size and time of its file, which tell apart two builds
/// of one version.
enum ProductBuild {
    static let text: String = {
        #if os(Linux)
            var status = stat()
            if stat("/proc/self/exe", &status) == 0 {
                let time = status.st_mtim
                return "\(ProductVersion.text) (\(status.st_size)-\(time.tv_sec).\(time.tv_nsec))"
            }
        #endif
        return ProductVersion.text
    }()
}
