using System.Globalization;

namespace Mesh.Cli.Running;

/// <summary>
/// The rules of a captured run: set when the sidecar takes traffic, taken away when the program has ended. On a host it stands for the place where the
/// program runs, too: a cgroup made for it. Owned by the run.
/// </summary>
internal sealed class CaptureRules : IDisposable
{
    /// <summary>The user and group of sidecars.</summary>
    public const uint SidecarUser = 1337;

    private readonly CaptureTerms _terms;
    private readonly RunOptions _options;
    private readonly string _group = $"mesh-run-{Environment.ProcessId}";
    private readonly RunRecord _record;
    private bool _installed;

    /// <summary>Sees to it that they can be set here; a <see cref="CliException"/> says why not.</summary>
    public CaptureRules(CaptureTerms terms, RunOptions options)
    {
        (_terms, _options) = (terms, options);
        if (!Environment.IsPrivilegedProcess)
            throw new CliException("--capture needs root: it sets rules of the kernel");
        if (Programs.OnPath("setpriv") is null)
            throw new CliException("--capture needs setpriv (Debian package util-linux) to run the sidecar as its own user");
        _record = RunRecord.Begin(options.Sidecar, terms.Place == CapturePlace.Cgroup ? _group : null);
        try
        {
            Prepare();
        }
        catch
        {
            _record.Dispose();
            throw;
        }
    }

    /// <summary>Adds a process to what the next run ends, should this one be killed.</summary>
    public void Keep(int process) => _record.Add(process);

    /// <summary>Sets them; what goes out from now on goes through the sidecar.</summary>
    public void Install()
    {
        List<string> arguments = ["capture", "install", "--mode", _terms.Mode];
        if (_terms.Place == CapturePlace.User)
            arguments.AddRange(["--only-uids", _terms.User.ToString(CultureInfo.InvariantCulture)]);
        if (_terms.Place == CapturePlace.Cgroup)
            arguments.AddRange(["--cgroup", _group]);
        if (_terms.IsShared && _options.Ports.Count > 0)
            arguments.AddRange(["--inbound-ports", string.Join(',', _options.Ports.Select(port => port.Split(':')[0]))]);
        arguments.AddRange(_terms.InstallFlags.SelectMany(flag => flag.Split('=', 2)));
        var (code, said) = ExternalProgram.Run(_options.Sidecar, arguments);
        if (code != 0)
            throw new CliException($"the rules were not set:\n{said.TrimEnd()}");
        _installed = true;
    }

    /// <summary>The command line that runs the program where it is captured.</summary>
    public IReadOnlyList<string> Captured(IReadOnlyList<string> command) => _terms.Place switch
    {
        CapturePlace.User => ["setpriv", "--reuid", $"{_terms.User}", "--regid", $"{_terms.User}", "--clear-groups", .. command],
        CapturePlace.Cgroup => ["/bin/sh", "-c", "echo 0 >\"$0/cgroup.procs\" && exec \"$@\"", Cgroup.Folder(_group), .. command],
        _ => command,
    };

    /// <summary>The command line that runs the sidecar as the user whose traffic is left alone.</summary>
    public static IEnumerable<string> AsSidecar(CaptureTerms terms, string sidecar)
    {
        string[] privileges = terms.Transparent ? ["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"] : [];
        return ["setpriv", "--reuid", $"{SidecarUser}", "--regid", $"{SidecarUser}", "--clear-groups", .. privileges, sidecar];
    }

    /// <summary>Takes away what was made.</summary>
    public void Dispose()
    {
        if (_installed && ExternalProgram.Run(_options.Sidecar, ["capture", "remove"]) is { Code: not 0 } failed)
            Console.Error.WriteLine($"meshctl: the rules stay: {failed.Said.TrimEnd()}");
        if (_terms.Place == CapturePlace.Cgroup)
            Cgroup.Remove(_group, kill: false);
        _record.Dispose();
    }

    private void Prepare()
    {
        if (_terms.IsShared && !ExternalProgram.Run(_options.Sidecar, ["capture", "check"]).Said.Contains("no rules are installed", StringComparison.Ordinal))
            throw new CliException("traffic of this host is captured already (mesh-sidecar capture show): one run at a time, or each in a network namespace of its own (--capture netns)");
        if (_terms.Place == CapturePlace.Cgroup)
            Cgroup.Make(_group);
    }
}
