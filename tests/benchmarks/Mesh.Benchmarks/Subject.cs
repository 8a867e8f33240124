using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

namespace Mesh.Benchmarks;

/// <summary>A program under measurement: started pinned to one core, read through /proc, ended by its id.</summary>
internal sealed class Subject : IDisposable
{
    private readonly Process process;

    private Subject(string name, int port, Process process)
    {
        Name = name;
        Port = port;
        this.process = process;
    }

    public string Name { get; }

    public int Port { get; }

    /// <summary>Starts a program on the given cores (taskset list) with its output in a file.</summary>
    public static Subject Start(string name, int port, string cores, string log, string file, params string[] arguments)
    {
        var start = new ProcessStartInfo("taskset") { UseShellExecute = false };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(cores);
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add($"exec \"$@\" >{log} 2>&1");
        start.ArgumentList.Add("sh");
        start.ArgumentList.Add(file);
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        return new Subject(name, port, Process.Start(start)!);
    }

    /// <summary>Waits until the port answers HTTP with 200; returns the time since <paramref name="since"/> in ms.</summary>
    public double WaitForFirstResponse(Stopwatch since, string path = "/", int? port = null)
    {
        var at = port ?? Port;
        var request = System.Text.Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        var buffer = new byte[256];
        while (since.Elapsed < TimeSpan.FromSeconds(20))
        {
            if (process.HasExited) throw new InvalidOperationException($"{Name} ended with code {process.ExitCode} before it answered");
            try
            {
                using var client = new TcpClient { NoDelay = true, ReceiveTimeout = 5000 };
                client.Connect("127.0.0.1", at);
                client.GetStream().Write(request);
                var read = client.GetStream().Read(buffer);
                if (System.Text.Encoding.ASCII.GetString(buffer, 0, read).Contains(" 200 ", StringComparison.Ordinal)) return since.Elapsed.TotalMilliseconds;
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                // Not listening yet.
            }

            Thread.Sleep(1);
        }

        throw new TimeoutException($"{Name} did not answer on port {at} within 20 s");
    }

    /// <summary>
    /// CPU time of the program and its children so far, in microseconds, to the kernel's hundredth of a second. (The threads' own sums would lose what
    /// threads spent that ended meanwhile: a runtime's compiler comes and goes.)
    /// </summary>
    public double CpuMicroseconds() => Tree().Sum(ReadCpu);

    /// <summary>
    /// Resident and private memory in MB, children included. Private is what only this process has and nobody can give back to it from a
    /// file: written pages. (Clean pages of its own image count as private in the kernel's word as soon as one process alone maps it.)
    /// </summary>
    public (double Rss, double Private) Memory()
    {
        double rss = 0, own = 0;
        foreach (var pid in Tree())
        {
            foreach (var line in File.ReadLines($"/proc/{pid}/smaps_rollup"))
            {
                if (line.StartsWith("Rss:", StringComparison.Ordinal)) rss += Kilobytes(line);
                if (line.StartsWith("Private_Dirty:", StringComparison.Ordinal)) own += Kilobytes(line);
            }
        }

        return (rss / 1024, own / 1024);
    }

    public void Dispose()
    {
        foreach (var pid in Tree().Reverse()) Signal(pid);
        if (!process.WaitForExit(5000)) process.Kill(entireProcessTree: true);
        process.Dispose();
    }

    private static void Signal(int pid)
    {
        using var kill = Process.Start("kill", ["-TERM", pid.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    private IEnumerable<int> Tree()
    {
        if (process.HasExited) return [];
        var children = Path.Combine("/proc", process.Id.ToString(CultureInfo.InvariantCulture), "task", process.Id.ToString(CultureInfo.InvariantCulture), "children");
        var text = File.Exists(children) ? File.ReadAllText(children) : "";
        return text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(p => int.Parse(p, CultureInfo.InvariantCulture)).Prepend(process.Id).ToList();
    }

    private static double ReadCpu(int pid)
    {
        const double TickMicroseconds = 10_000;
        try
        {
            // The name, in parentheses, may hold blanks; user and system time are the 12th and 13th field behind it.
            var stat = File.ReadAllText($"/proc/{pid}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (double.Parse(fields[11], CultureInfo.InvariantCulture) + double.Parse(fields[12], CultureInfo.InvariantCulture)) * TickMicroseconds;
        }
        catch (IOException)
        {
            return 0; // It ended between listing and reading.
        }
    }

    private static double Kilobytes(string line) =>
        double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
