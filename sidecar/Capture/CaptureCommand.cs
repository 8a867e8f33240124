namespace Mesh.Sidecar.Capture;

/// <summary>
/// <c>mesh-sidecar capture install|remove|check|show</c>. Exit codes: 0 done, 1 check found that something does not work, 2 wrong arguments,
/// 3 it cannot be done here. Runs once, on the calling thread.
/// </summary>
internal static class CaptureCommand
{
    private const int Broken = 1;
    private const int BadFlags = 2;
    private const int Impossible = 3;

    private static readonly string Help =
        "mesh-sidecar capture install|remove|check|show [options]: sends this machine's (or network namespace's) TCP connections and DNS queries to the sidecar.\n\n"
        + "  install   sets the rules; again: changes nothing; with other options: replaces them at once\n"
        + "  remove    takes away what install made, nothing else\n"
        + "  check     proves by connections that capture works, and says what does not\n"
        + "  show      the rules and the reason of each: those installed, or those of the options given\n\n"
        + CaptureFlags.Help;

    /// <summary>Runs a verb; <paramref name="args"/> without the word "capture".</summary>
    public static int Run(IReadOnlyList<string> args, TextWriter output, TextWriter error)
    {
        if (args.Count == 0 || args.Contains("--help") || args.Contains("-h") || args[0] == "help")
        {
            (args.Count == 0 ? error : output).Write(Help);
            return args.Count == 0 ? BadFlags : 0;
        }

        var flags = CaptureFlags.Parse([.. args.Skip(1)]);
        foreach (var wrong in flags.Errors) error.WriteLine($"mesh-sidecar capture: {wrong}");
        if (flags.Errors.Count > 0) return BadFlags;
        try
        {
            return Run(args[0], flags, output, error);
        }
        catch (CaptureException e)
        {
            error.WriteLine($"mesh-sidecar capture: {e.Message}");
            return Impossible;
        }
    }

    private static int Run(string verb, CaptureFlags flags, TextWriter output, TextWriter error)
    {
        var installer = new Installer(output.WriteLine, error.WriteLine);
        switch (verb)
        {
            case "install" or "remove" or "check": return Alone(verb, installer, flags, output, error);
            case "show": output.Write(installer.Show(flags)); return 0;
            default:
                error.WriteLine($"mesh-sidecar capture: \"{verb}\" is not one of install, remove, check, show");
                return BadFlags;
        }
    }

    /// <summary>What changes something, and what must not see half of a change.</summary>
    private static int Alone(string verb, Installer installer, CaptureFlags flags, TextWriter output, TextWriter error)
    {
        Installer.MustAdminister();
        using var alone = OneAtATime.Take(error.WriteLine);
        if (verb == "check") return Check(installer, flags, output);
        if (verb == "install") installer.Install(flags);
        else installer.Remove();
        return 0;
    }

    private static int Check(Installer installer, CaptureFlags flags, TextWriter output)
    {
        var worst = Grade.Works;
        foreach (var finding in new CaptureCheck(installer).Run(flags))
        {
            output.WriteLine(finding);
            if (finding.Grade > worst) worst = finding.Grade;
        }

        return worst == Grade.Broken ? Broken : 0;
    }
}
