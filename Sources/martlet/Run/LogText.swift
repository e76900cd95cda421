/// What Redis and the object store have of one attempt's log, put together.
enum LogText {
    /// The live lines that follow the end of `stored`.
    ///
    /// The stored log of an attempt at work is some seconds old, and Redis has at least the newest lines, each with its
    /// time in front. Where the last stored line is not among them, the times decide.
    static func continuation(of stored: String, in live: [String]) -> ArraySlice<String> {
        guard let last = stored.split(separator: "\n").last else { return live[...] }
        if let place = live.lastIndex(where: { $0 == last }) { return live[(place + 1)...] }
        let time = stamp(last)
        return live.drop { stamp($0) <= time }
    }

    private static func stamp(_ line: some StringProtocol) -> String {
        String(line.prefix { $0 != " " })
    }
}
