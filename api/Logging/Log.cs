using System.Globalization;
using System.Text;

namespace Mesh.Api.Logging;

/// <summary>How much a log line matters.</summary>
public enum Level
{
    /// <summary>For finding faults of the mesh itself.</summary>
    Debug,

    /// <summary>What an operator wants to know later.</summary>
    Info,

    /// <summary>Something is wrong and the program copes.</summary>
    Warn,

    /// <summary>Something is wrong and somebody must act.</summary>
    Error,
}

/// <summary>
/// The programs' log: one line per event, <c>time level area message key=value</c>. Values are escaped, so a line stays one line
/// whatever a peer sent. Thread safe; writes under one lock, for events and never for requests.
/// </summary>
public sealed class Log
{
    private static readonly string[] Names = ["debug", "info", "warn", "error"];
    private readonly Sink sink;
    private readonly string area;

    private Log(Sink sink, string area)
    {
        this.sink = sink;
        this.area = area;
    }

    /// <summary>A log that says nothing, for tests and tools.</summary>
    public static Log Silent { get; } = To(TextWriter.Null, Level.Error, TimeProvider.System);

    /// <summary>The least level that is written; may be changed at any time and holds for all areas.</summary>
    public Level Least
    {
        get => sink.Least;
        set => sink.Least = value;
    }

    /// <summary>A log that writes to <paramref name="output"/>; its owner keeps and closes the writer.</summary>
    public static Log To(TextWriter output, Level least, TimeProvider time) => new(new Sink(output, least, time), "main");

    /// <summary>Reads a level as flags write it.</summary>
    public static bool TryParse(string text, out Level level)
    {
        level = (Level)Math.Max(0, Array.IndexOf(Names, text));
        return Names[(int)level] == text;
    }

    /// <summary>The same log for another part of the program.</summary>
    public Log For(string part) => new(sink, part);

    /// <summary>Writes a line of level debug.</summary>
    public void Debug(string message, params ReadOnlySpan<(string Key, object? Value)> fields) => Write(Level.Debug, message, fields);

    /// <summary>Writes a line of level info.</summary>
    public void Info(string message, params ReadOnlySpan<(string Key, object? Value)> fields) => Write(Level.Info, message, fields);

    /// <summary>Writes a line of level warn.</summary>
    public void Warn(string message, params ReadOnlySpan<(string Key, object? Value)> fields) => Write(Level.Warn, message, fields);

    /// <summary>Writes a line of level error.</summary>
    public void Error(string message, params ReadOnlySpan<(string Key, object? Value)> fields) => Write(Level.Error, message, fields);

    /// <summary>Writes a line.</summary>
    public void Write(Level level, string message, params ReadOnlySpan<(string Key, object? Value)> fields)
    {
        if (level < sink.Least) return;
        var line = new StringBuilder(160);
        line.Append(sink.Now().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
        line.Append(' ').Append(Names[(int)level]).Append(' ').Append(area).Append(' ');
        AppendEscaped(line, message);
        foreach (var (key, value) in fields)
        {
            line.Append(' ').Append(key).Append('=');
            AppendValue(line, Convert.ToString(value, CultureInfo.InvariantCulture) ?? "");
        }

        sink.Line(line.ToString());
    }

    private static void AppendValue(StringBuilder line, string value)
    {
        var quote = value.Length == 0 || value.AsSpan().ContainsAny(" =\"");
        if (quote) line.Append('"');
        AppendEscaped(line, quote ? value.Replace("\"", "\\\"", StringComparison.Ordinal) : value);
        if (quote) line.Append('"');
    }

    private static void AppendEscaped(StringBuilder line, string text)
    {
        foreach (var c in text)
        {
            if (c == '\n') line.Append("\\n");
            else if (char.IsControl(c) || c is '\u2028' or '\u2029') line.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else line.Append(c);
        }
    }

    private sealed class Sink(TextWriter output, Level least, TimeProvider time)
    {
        private readonly Lock gate = new();
        private volatile int level = (int)least;

        public Level Least
        {
            get => (Level)level;
            set => level = (int)value;
        }

        public DateTimeOffset Now() => time.GetUtcNow();

        public void Line(string text)
        {
            lock (gate) output.WriteLine(text);
        }
    }
}
