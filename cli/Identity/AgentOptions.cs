using System.CommandLine;
using Mesh.Api.Identity.Agent;
using Mesh.Api.Logging;
using Mesh.Cli.Operators;

namespace Mesh.Cli.Identity;

/// <summary>
/// The options by which a program without a sidecar gets an identity: from a join token, a Kubernetes token or a kept certificate;
/// or, for an operator, simply by name: then the tool makes itself a join token. Owned by one command.
/// </summary>
internal sealed class AgentOptions
{
    private readonly Option<string?> _controlPlane = MeshApi.Option();
    private readonly Option<string?> _tokenFile = new("--token-file") { Description = $"file with a join token ({JoinTokens.Variable})", HelpName = "FILE" };
    private readonly Option<string?> _identity = new("--identity") { Description = "without a token: make one for this identity, as an operator", HelpName = "ns/NAMESPACE/sa/ACCOUNT" };
    private readonly Option<string?> _kubeTokenFile = new("--kube-token-file") { Description = "file with a Kubernetes service-account token", HelpName = "FILE" };
    private readonly Option<string?> _ca = new("--ca") { Description = "file with the mesh's roots, where no join token names them by hash", HelpName = "FILE" };
    private readonly Option<string?> _identityDir = new("--identity-dir") { Description = "folder (0700) that keeps the certificate over a restart", HelpName = "DIR" };
    private readonly OperatorsOptions _operators = new("--operators");

    /// <summary>What the agent has to say on its way.</summary>
    public static Log Log { get; } = Api.Logging.Log.To(Console.Error, Level.Warn, TimeProvider.System);

    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[_controlPlane, _identity, _tokenFile, _kubeTokenFile, _ca, _identityDir]) command.Add(option);
        _operators.AddTo(command);
    }

    /// <summary>The agent, not yet running; a join token is made when a name is all there is.</summary>
    public async Task<IdentityAgent> OpenAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var options = new IdentityAgentOptions
        {
            ControlPlane = MeshApi.Address(parsed.GetValue(_controlPlane)),
            JoinToken = JoinTokens.Given(parsed.GetValue(_tokenFile)),
            KubeTokenFile = parsed.GetValue(_kubeTokenFile),
            CaFile = parsed.GetValue(_ca),
            IdentityDir = parsed.GetValue(_identityDir),
        };
        if (parsed.GetValue(_identity) is { } identity)
        {
            using var client = _operators.Open(parsed);
            options = options with { JoinToken = await JoinTokens.MakeAsync(client, identity, [], [], cancellation) };
        }
        else if (options is { JoinToken: null, KubeTokenFile: null, IdentityDir: null })
        {
            throw new CliException("say who to be: --identity ns/NAMESPACE/sa/ACCOUNT as an operator; or " +
                $"--token-file FILE ({JoinTokens.Variable}), --kube-token-file FILE, or --identity-dir DIR of an earlier run", Usage.ExitCode);
        }

        try
        {
            return new IdentityAgent(options, Log, TimeProvider.System, new Random());
        }
        catch (Exception e) when (e is FormatException or IOException)
        {
            throw new CliException(e.Message);
        }
    }
}
