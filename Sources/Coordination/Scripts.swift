import RedisClient

/// The Lua scripts of this target.
enum Scripts {
    static let claim = script("claim", PackageResources.claim_lua)
    static let heartbeat = script("heartbeat", PackageResources.heartbeat_lua)
    static let finish = script("finish", PackageResources.finish_lua)
    static let mirror = script("mirror", PackageResources.mirror_lua)
    static let leases = script("leases", PackageResources.leases_lua)
    static let releaseWorker = script("release_worker", PackageResources.release_worker_lua)
    static let worker = script("worker", PackageResources.worker_lua)
    static let limits = script("limits", PackageResources.limits_lua)
    static let replicas = script("replicas", PackageResources.replicas_lua)
    static let busy = script("busy", PackageResources.busy_lua)

    private static func script(_ name: String, _ bytes: [UInt8]) -> RedisScript {
        RedisScript(name: name, source: String(decoding: bytes, as: UTF8.self))
    }
}
