using System.CommandLine;
using Mesh.Api.Operators;

namespace Mesh.Cli.Operators;

/// <summary>The options by which a command reaches the operators' API and logs in. Owned by one command.</summary>
internal sealed class OperatorsOptions
{
    private const string AddressVariable = "MESH_OPERATORS";
    private const string CertificateVariable = "MESH_OPERATORS_CERTIFICATE";
    private readonly Option<string?> _address;
    private readonly Option<string?> _tokenFile = new(OperatorsToken.FileOption)
    {
        Description = "file with the token to log in with (MESH_OPERATORS_TOKEN, MESH_OPERATORS_TOKEN_FILE; else that of a control plane on this machine)",
        HelpName = "FILE",
    };

    private readonly Option<string?> _certificate = new("--operators-certificate")
    {
        Description = $"folder of `meshctl identity fetch` to log in with instead, for https ({CertificateVariable})",
        HelpName = "DIR",
    };

    public OperatorsOptions(string address = "--control-plane") => _address = new Option<string?>(address)
    {
        Description = $"the control plane's operators' API ({AddressVariable}; {OperatorsApi.DefaultAddress} if unset)",
        HelpName = "URL",
    };

    public void AddTo(Command command)
    {
        command.Add(_address);
        command.Add(_tokenFile);
        command.Add(_certificate);
    }

    /// <summary>A client for the address of the option, the environment, or the usual one. The caller disposes it.</summary>
    public OperatorsClient Open(ParseResult parsed)
    {
        var address = Address(parsed.GetValue(_address));
        var folder = parsed.GetValue(_certificate) ?? Environment.GetEnvironmentVariable(CertificateVariable);
        if (!string.IsNullOrEmpty(folder))
        {
            return address.Scheme == Uri.UriSchemeHttps
                ? new OperatorsClient(address, OperatorsCertificate.Handler(folder, TimeProvider.System))
                : throw new CliException($"{address} is plaintext: a certificate proves nothing there; expected https://HOST:15012", Usage.ExitCode);
        }

        if (address.Scheme == Uri.UriSchemeHttps)
            throw new CliException($"for {address} name the certificate to log in with: --operators-certificate DIR or {CertificateVariable}", Usage.ExitCode);
        var token = OperatorsToken.Find(parsed.GetValue(_tokenFile), Environment.GetEnvironmentVariable);
        return address.IsLoopback || token.Value is null
            ? new OperatorsClient(address, new SocketsHttpHandler(), token)
            : throw new CliException($"{address} is plaintext and not on this machine: the token is not sent there. Use a port-forward, or https with --operators-certificate.");
    }

    private static Uri Address(string? option)
    {
        var text = option ?? Environment.GetEnvironmentVariable(AddressVariable);
        if (string.IsNullOrEmpty(text)) text = OperatorsApi.DefaultAddress;
        if (!text.Contains("://", StringComparison.Ordinal)) text = "http://" + text;
        return Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? address
            : throw new CliException($"'{text}' is no address of a control plane: expected http://HOST:PORT or https://HOST:PORT", Usage.ExitCode);
    }
}
