import Glibc

/// Clocks that processes of one machine share.
enum Clock {
    /// Nanoseconds since 1970.
    static var wall: Int64 { read(CLOCK_REALTIME) }
    /// Nanoseconds since some moment.
    static var monotonic: Int64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Sleeps until a moment of ``monotonic``.
    static func sleep(until moment: Int64) {
        let left = moment - monotonic
        guard left > 0 else { return }
        var time = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
        nanosleep(&time, nil)
    }
}
