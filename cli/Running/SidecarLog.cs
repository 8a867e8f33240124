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
    private bool _complained;

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
            Write(_mark + line);
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
        if (_mark.Length > 0)
            return;
        try
        {
            _output.Dispose();
        }
        catch (IOException e)
        {
            Complain(e);
        }
    }

    /// <summary>A disk that is full costs lines. It must not end the reading of them: the sidecar would wait for its reader, and with it all traffic.</summary>
    private void Write(string line)
    {
        try
        {
            _output.WriteLine(line);
        }
        catch (IOException e)
        {
            Complain(e);
        }
    }

    private void Complain(IOException problem)
    {
        if (_complained)
            return;
        _complained = true;
        Console.Error.WriteLine($"meshctl: lines of the sidecar's log are lost: {problem.Message}");
    }
}
