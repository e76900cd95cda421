/// A pipeline: a directed acyclic graph of stages, as a run executes it.
package struct PipelineSpec: Hashable, Sendable, Codable {
    /// Lower-case letters, digits and dashes, at most 63 characters.
    package var name: String
    package var description: String?
    /// What a run may be given, with defaults; stage parameters refer to them as `${name}`.
    package var parameters: [String: JSONValue]
    package var stages: [StageSpec]
    /// Higher is dispatched first; 0 is ordinary. -100 to 100.
    package var priority: Int
    /// When to start runs by the clock; see ``CronSchedule``.
    package var schedules: [ScheduleSpec]

    package init(
        name: String, description: String? = nil, parameters: [String: JSONValue] = [:], stages: [StageSpec],
        priority: Int = 0, schedules: [ScheduleSpec] = []
    ) {
        self.name = name
        self.description = description
        self.parameters = parameters
        self.stages = stages
        self.priority = priority
        self.schedules = schedules
    }

    package func stage(named name: String) -> StageSpec? {
        stages.first { $0.name == name }
    }
}

/// A clock on a pipeline: each tick publishes one event, so a tick is accepted once however many schedulers run.
package struct ScheduleSpec: Hashable, Sendable, Codable {
    /// Unique in its pipeline.
    package var name: String
    /// Five fields, in UTC.
    package var cron: String
    package var parameters: [String: JSONValue]

    package init(name: String, cron: String, parameters: [String: JSONValue] = [:]) {
        self.name = name
        self.cron = cron
        self.parameters = parameters
    }
}
