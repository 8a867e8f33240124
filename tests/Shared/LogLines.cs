using System.Collections.Concurrent;
using System.Text;

namespace Mesh.Tests;

/// <summary>Keeps what a log writes, for a test to look at while it is being written. Thread safe.</summary>
public sealed class LogLines : TextWriter
{
    private readonly ConcurrentQueue<string> lines = new();

    public override Encoding Encoding => Encoding.UTF8;

    /// <summary>How many lines hold this text.</summary>
    public int Count(string text) => lines.Count(l => l.Contains(text, StringComparison.Ordinal));

    public bool Has(string text) => Count(text) > 0;

    public override void WriteLine(string? value) => lines.Enqueue(value ?? "");

    public override string ToString() => string.Join('\n', lines);
}
