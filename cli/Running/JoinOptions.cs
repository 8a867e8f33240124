using System.CommandLine;
using Mesh.Cli.Identity;
using Mesh.Cli.Operators;

namespace Mesh.Cli.Running;

/// <summary>The options of <c>meshctl run</c> by which its sidecar reaches the control plane and proves who it is. Owned by the command.</summary>
internal sealed class JoinOptions
{
    private readonly Option<string?> _controlPlane = MeshApi.Option();
    private readonly Option<string?> _account = new("--account") { Description = "the service account of its identity (the service's name)", HelpName = "NAME" };
    private readonly Option<string?> _tokenFile = new("--token-file") { Description = $"file with a join token ({JoinTokens.Variable}); without: one is made at the operators' API", HelpName = "FILE" };
    private readonly Option<string?> _kubeTokenFile = new("--kube-token-file") { Description = "file with a Kubernetes service-account token instead", HelpName = "FILE" };
    private readonly Option<string?> _ca = new("--ca") { Description = "file with the mesh's roots, where no join token names them by hash", HelpName = "FILE" };
    private readonly Option<string?> _identityDir = new("--identity-dir") { Description = "folder (0700) that keeps its certificate over runs; without: a private one for this run", HelpName = "DIR" };
    private readonly Option<string?> _address = new("--address") { Description = "the address others reach it at (127.0.0.1)" };
    private readonly OperatorsOptions _operators = new("--operators");

    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[_controlPlane, _account, _tokenFile, _kubeTokenFile, _ca, _identityDir, _address]) command.Add(option);
        _operators.AddTo(command);
    }

    /// <summary>Where the control plane is.</summary>
    public string ControlPlane(ParseResult parsed) => MeshApi.Address(parsed.GetValue(_controlPlane));

    /// <summary>How this run's sidecar joins. The caller disposes it.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="service">Its service.</param>
    /// <param name="ns">Its namespace.</param>
    /// <param name="made">The addresses that were made for it, the first is the one it is called by; null: the one of the command line.</param>
    /// <param name="isCaptured">True when the sidecar is a user of its own.</param>
    public Joining Read(ParseResult parsed, string service, string ns, IReadOnlyList<string>? made = null, bool isCaptured = false)
    {
        var controlPlane = ControlPlane(parsed);
        var addresses = made ?? (parsed.GetValue(_address) is { } one ? [one] : []);
        List<string> flags = ["--control-plane", controlPlane];
        if (addresses is [{ } first, ..]) flags.AddRange(["--address", first]);
        if (!MeshApi.IsSecured(controlPlane)) return new Joining { Flags = flags };

        foreach (var (flag, option) in ((string, Option<string?>)[])[("--kube-token-file", _kubeTokenFile), ("--ca", _ca)])
        {
            if (parsed.GetValue(option) is { } value) flags.AddRange([flag, value]);
        }

        var given = JoinTokens.Given(parsed.GetValue(_tokenFile));
        var identity = $"ns/{ns}/sa/{parsed.GetValue(_account) ?? service}";
        return new Joining(parsed.GetValue(_identityDir), isCaptured)
        {
            Flags = flags,
            Token = given is not null ? _ => Task.FromResult(given)
                : parsed.GetValue(_kubeTokenFile) is not null ? null
                : cancellation => MakeAsync(parsed, identity, service, addresses, cancellation),
        };
    }

    private async Task<string> MakeAsync(ParseResult parsed, string identity, string service, IReadOnlyList<string> addresses, CancellationToken cancellation)
    {
        using var client = _operators.Open(parsed);
        return await JoinTokens.MakeAsync(client, identity, [service], addresses, cancellation);
    }
}
