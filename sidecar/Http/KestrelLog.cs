using Mesh.Api.Logging;
using Mesh.Sidecar.Telemetry;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mesh.Sidecar.Http;

/// <summary>
/// What Kestrel would say, as far as an operator needs it: requests it refused by itself are counted, and named at level debug; faults are
/// logged as ours. Everything else is silence, which costs nothing. Thread safe.
/// </summary>
internal sealed class KestrelLog(SidecarMetrics metrics, Log log) : ILoggerFactory, ILogger
{
    private const string BadRequests = "Microsoft.AspNetCore.Server.Kestrel.BadRequests";

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => categoryName == BadRequests ? this : NullLogger.Instance;

    /// <inheritdoc/>
    public void AddProvider(ILoggerProvider provider)
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    /// <inheritdoc/>
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => true;

    /// <inheritdoc/>
    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (exception is not BadHttpRequestException refused) return;
        metrics.RefusedRequests.Add();
        log.Debug("request refused", ("status", refused.StatusCode), ("reason", refused.Message));
    }
}
