import CCurl

/// libcurl's process-wide state: initialised once, before the first handle.
enum CurlGlobal {
    /// `static let` runs once, whatever the number of threads; never cleaned up, as other code may use libcurl too.
    static let isReady: Bool = curl_global_init(martlet_global_default) == CURLE_OK

    static func makeMulti() -> UnsafeMutableRawPointer? {
        guard isReady else { return nil }
        return curl_multi_init()
    }
}
