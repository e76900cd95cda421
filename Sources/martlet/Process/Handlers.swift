import Configuration
import HTTPTransport
import IngestStage
import ModelStages
import NotifyStage
import RegisterStage
import StageSupport
import WorkerRuntime

/// The kinds of stages that a worker can do. Making a handler connects to nothing.
enum Handlers {
    static func all(
        _ services: Services, transport: HTTPTransport, state: String
    ) throws -> [any StageHandler] {
        var handlers: [any StageHandler] = [NoopHandler(), CommandHandler()]
        let settings = services.configuration
        let ledger = try services.ledger(connections: 2)
        handlers.append(
            NotifyHandler(
                receivers: Receivers.from(settings), transport: transport, ledger: ledger,
                addressPolicy: .publicOnly(allowing: settings.notify.allowAddresses),
                linksBase: settings.linksBase?.value))
        let python: PythonStage.Provider = { try PythonEnvironments.stages(settings) }
        let access = SourceAccess(allowing: settings.ingest.allowAddresses, fileRoots: settings.ingest.fileRoots)
        handlers.append(IngestHandler(transport: transport, access: access, python: python))
        handlers.append(PreprocessHandler(python: python))
        guard settings.mlflow != nil else { return handlers }
        let mlflow = try services.mlflow(transport)
        handlers.append(TrainHandler(python: python, mlflow: mlflow, cacheDirectory: state + "/models"))
        handlers.append(EvaluateHandler(python: python, mlflow: mlflow, cacheDirectory: state + "/models"))
        handlers.append(RegisterHandler(mlflow: mlflow, ledger: ledger))
        return handlers
    }
}
