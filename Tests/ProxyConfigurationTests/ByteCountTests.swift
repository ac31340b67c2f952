import Testing

@testable import ProxyConfiguration

@Suite("Byte counts")
struct ByteCountTests {
    @Test(
        "A number and a unit are read in powers of 1024",
        arguments: [
            ("0", 0), ("0MB", 0), ("1B", 1), ("1kB", 1024), ("1KiB", 1024), ("256MB", 268_435_456),
            ("1 MB", 1_048_576), ("3MiB", 3_145_728), ("2GB", 2_147_483_648),
            ("1GiB", 1_073_741_824), ("1TB", 1_099_511_627_776), ("8388607TB", 8_388_607 << 40),
        ])
    func reads(text: String, bytes: Int) {
        #expect(ByteCount(text)?.bytes == bytes)
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "", "12", "MB", "-1MB", "+1MB", "1.5GB", "1mb", "1KB", "1 ", " 1MB", "1  MB", "1MB ",
            "1M", "0x10B", "٣MB", "8388608TB", "99999999999999999999B", "twelve MB",
        ])
    func refuses(text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test("What is printed reads back as the same amount")
    func roundTrip() {
        for bytes in [0, 1, 1000, 1024, 1536, 1 << 20, 3 << 20, 5 << 30, 7 << 40, (1 << 30) + 1] {
            let count = ByteCount(bytes: bytes)
            #expect(ByteCount(count.description) == count)
        }
        #expect(ByteCount.megabytes(256).description == "256MB")
        #expect(ByteCount.kilobytes(1536).description == "1536kB")
    }
}
