using Mesh.Api.Logging;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane;

/// <summary>
/// Lets what logs through <see cref="ILogger"/> (Kestrel, sources) write the program's log: fields at the end of a message template
/// (<c>... key={value}</c>) become fields of the line. Thread safe.
/// </summary>
internal sealed class LogAdapter(Log log) : ILoggerFactory, ILoggerProvider
{
    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new Adapter(log.For(AreaOf(categoryName)), AreaOf(categoryName), categoryName.StartsWith("Microsoft.", StringComparison.Ordinal));

    /// <inheritdoc/>
    public void AddProvider(ILoggerProvider provider)
    {
        // There is one log.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // The log belongs to the program.
    }

    // "Mesh.ControlPlane.Sources.Consul.ConsulSource" -> "consul"; "Microsoft.AspNetCore.Server.Kestrel" -> "kestrel".
    private static string AreaOf(string category)
    {
        var parts = category.Split('.');
        var part = category.StartsWith("Mesh.", StringComparison.Ordinal) && parts.Length > 2 ? parts[^2] : parts[^1];
        return category.Contains("Kestrel", StringComparison.Ordinal) ? "kestrel" : part.ToLowerInvariant();
    }

    private sealed class Adapter(Log log, string area, bool isFramework) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        // The framework's own chatter matters from warnings up; that a host failed to start is told better by who started it.
        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None && LevelOf(logLevel) >= log.Least && (!isFramework || (logLevel >= LogLevel.Warning && area != "host"));

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel)) return;
            var text = formatter(state, exception);
            var fields = new List<(string, object?)>();
            if (state is IReadOnlyList<KeyValuePair<string, object?>> values && values.Count > 0 && values[^1] is { Key: "{OriginalFormat}", Value: string template })
            {
                var plain = template.AsSpan();
                foreach (var (key, name) in FieldsOf(template))
                {
                    fields.Add((key, values.FirstOrDefault(v => v.Key == name).Value));
                    plain = plain[..Math.Min(plain.Length, template.IndexOf($" {key}={{", StringComparison.Ordinal))];
                }

                // Values inside of the words stay in the words.
                if (fields.Count > 0 && !plain.Contains('{')) text = plain.ToString();
                else fields.Clear();
            }

            if (exception is not null) fields.Add(("error", isFramework ? exception.Message : exception.ToString()));
            log.Write(LevelOf(logLevel), text, [.. fields]);
        }

        private static IEnumerable<(string Key, string Name)> FieldsOf(string template) =>
            from word in template.Split(' ')
            let at = word.IndexOf("={", StringComparison.Ordinal)
            where at > 0 && word.EndsWith('}')
            select (word[..at], word[(at + 2)..^1].Split(':')[0]);

        private static Level LevelOf(LogLevel level) => level switch
        {
            LogLevel.Trace or LogLevel.Debug => Level.Debug,
            LogLevel.Information => Level.Info,
            LogLevel.Warning => Level.Warn,
            _ => Level.Error,
        };
    }
}
