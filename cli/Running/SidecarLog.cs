namespace Mesh.Cli.Running;

/// <summary>
/// Where the lines of a sidecar go: a file, or stderr with a mark; the last few are kept to explain its end. Safe from any thread;
/// lives as long as the run.
/// </summary>
internal sealed class SidecarLog : IDisposable
{
    private const int Kept = 10;
    private readonly TextWriter _output;
    private readonly string _mark;
    private readonly Queue<string> _last = new(Kept);

    public SidecarLog(string? file)
    {
        try
        {
            _output = file is null ? TextWriter.Synchronized(Console.Error) : new StreamWriter(file, append: true) { AutoFlush = true };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"--sidecar-log: {e.Message}");
        }

        _mark = file is null ? "[sidecar] " : "";
    }

    public void Add(string? line)
    {
        if (line is null)
            return;
        lock (_last)
        {
            if (_last.Count == Kept)
                _last.Dequeue();
            _last.Enqueue(line);
            _output.WriteLine(_mark + line);
        }
    }

    /// <summary>The last lines, indented, to stand below an error.</summary>
    public string Tail()
    {
        lock (_last)
            return _last.Count == 0 ? " It logged nothing." : " Its last words:" + string.Concat(_last.Select(line => "\n    " + line));
    }

    public void Dispose()
    {
        if (_mark.Length == 0)
            _output.Dispose();
    }
}
