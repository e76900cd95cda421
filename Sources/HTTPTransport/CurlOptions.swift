import CCurl

/// Typed `curl_easy_setopt`, with a refusal turned into an error.
struct CurlOptions {
    let easy: UnsafeMutableRawPointer

    func set(_ option: CURLoption, _ value: Int) throws {
        try check(martlet_easy_set_long(easy, option, value))
    }

    /// libcurl copies the text.
    func set(_ option: CURLoption, _ value: String) throws {
        try check(martlet_easy_set_string(easy, option, value))
    }

    func set(offset option: CURLoption, _ value: Int64) throws {
        try check(martlet_easy_set_off(easy, option, curl_off_t(value)))
    }

    func set(pointer option: CURLoption, _ value: UnsafeMutableRawPointer?) throws {
        try check(martlet_easy_set_pointer(easy, option, value))
    }

    func set(
        data option: CURLoption, _ function: martlet_data_callback, _ contextOption: CURLoption,
        _ context: UnsafeMutableRawPointer
    ) throws {
        try check(martlet_easy_set_data(easy, option, function))
        try set(pointer: contextOption, context)
    }

    /// A list of its own for the caller to free; libcurl copies the lines into it.
    func list(_ lines: [String]) throws -> UnsafeMutablePointer<curl_slist>? {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            guard let longer = curl_slist_append(list, line) else {
                curl_slist_free_all(list)
                try check(CURLE_OUT_OF_MEMORY)
                return nil
            }
            list = longer
        }
        return list
    }

    func check(_ code: CURLcode) throws {
        guard code != CURLE_OK else { return }
        throw HTTPError(
            code: .other, message: "libcurl refused a setting; is it 7.88 or newer, built with TLS?",
            curlText: String(cString: curl_easy_strerror(code)))
    }
}
