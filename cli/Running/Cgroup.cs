namespace Mesh.Cli.Running;

/// <summary>The cgroup (version 2) made for a run: its program and all that starts. Stateless.</summary>
internal static class Cgroup
{
    private const string Root = "/sys/fs/cgroup";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Folder of a cgroup.</summary>
    public static string Folder(string name) => Path.Combine(Root, name);

    /// <summary>Makes one; a <see cref="CliException"/> says why not.</summary>
    public static void Make(string name)
    {
        if (!File.Exists(Path.Combine(Root, "cgroup.controllers")))
            throw new CliException($"--capture cgroup: there are no cgroups of version 2 at {Root}");
        try
        {
            Directory.CreateDirectory(Folder(name));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"--capture cgroup: {e.Message}");
        }
    }

    /// <summary>Takes one away; with <paramref name="kill"/> together with all that runs in it.</summary>
    public static void Remove(string name, bool kill)
    {
        var folder = Folder(name);
        if (!Directory.Exists(folder))
            return;
        var until = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (true)
        {
            try
            {
                if (kill)
                    File.WriteAllText(Path.Combine(folder, "cgroup.kill"), "1");
                Directory.Delete(folder);
                return;
            }
            catch (IOException) when (kill && Environment.TickCount64 < until)
            {
                Thread.Sleep(20); // The killed take a moment to go.
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Console.Error.WriteLine($"meshctl: the cgroup {name} stays, something runs in it: {e.Message}");
                return;
            }
        }
    }
}
