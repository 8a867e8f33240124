using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Mesh.Sidecar.Identity;
using Proto = Envoy.Extensions.Filters.Network.HttpConnectionManager.V3.HttpConnectionManager;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>HttpConnectionManager: xDS to settings whose routes are a name, or a table whose clusters are names. Pure.</summary>
internal static class HttpConnectionManagerBuilder
{
    /// <summary>Builds the HTTP settings of a chain.</summary>
    public static HttpConnectionManager Build(Proto proto, Field field)
    {
        Unsupported(proto, field);
        var settings = new HttpConnectionManager
        {
            Routes = new RouteTable { Name = "" },
            Codec = Codec(proto, field),
            Authorization = Authorization.Of(Filters(proto, field)),
            ClientCert = ClientCert(proto, field),

            // Envoy's default is 5 minutes. Here an absent bound is none: long streams live until a rule says otherwise.
            StreamIdleTimeout = field.Duration(proto.StreamIdleTimeout, "stream_idle_timeout", TimeSpan.Zero),
        };
        switch (proto.RouteSpecifierCase)
        {
            case Proto.RouteSpecifierOneofCase.RouteConfig:
                return settings with { Routes = RouteTableBuilder.Build(proto.RouteConfig, field.At("route_config")) };
            case Proto.RouteSpecifierOneofCase.Rds:
                return settings with { RdsName = RdsName(proto.Rds, field.At("rds")) };
            default:
                field.Error("one of rds, route_config is needed");
                return settings;
        }
    }

    private static void Unsupported(Proto proto, Field field)
    {
        field.Unsupported(proto.NormalizePath == true, "normalize_path");
        field.Unsupported(proto.MergeSlashes, "merge_slashes");
        // They would stand in for the filters of requests, policies among them.
        for (var i = 0; i < proto.UpgradeConfigs.Count; i++) field.At("upgrade_configs", i).Unsupported(proto.UpgradeConfigs[i].Filters.Count > 0, "filters");
        field.Unsupported(proto.PathWithEscapedSlashesAction > Proto.Types.PathWithEscapedSlashesAction.KeepUnchanged, "path_with_escaped_slashes_action");
        field.Unsupported(proto.OriginalIpDetectionExtensions.Count > 0, "original_ip_detection_extensions");
        field.Unsupported(field.Duration(proto.RequestTimeout, "request_timeout", TimeSpan.Zero) > TimeSpan.Zero, "request_timeout");
    }

    /// <summary>A peer's own word about certificates is dropped in every mode there is here; the others would pass it on.</summary>
    private static ClientCertDetails ClientCert(Proto proto, Field field)
    {
        var mode = proto.ForwardClientCertDetails;
        if (mode is not (Proto.Types.ForwardClientCertDetails.Sanitize or Proto.Types.ForwardClientCertDetails.SanitizeSet))
            field.Error("forward_client_cert_details", $"{mode} would pass on what a peer says of itself: SANITIZE or SANITIZE_SET is needed");
        if (mode != Proto.Types.ForwardClientCertDetails.SanitizeSet) return ClientCertDetails.None;
        var details = ClientCertDetails.Set;
        if (proto.SetCurrentClientCertDetails is not { } wanted) return details;
        var at = field.At("set_current_client_cert_details");
        at.Unsupported(wanted.Cert, "cert");
        at.Unsupported(wanted.Chain, "chain");
        if (wanted.Uri) details |= ClientCertDetails.Uri;
        if (wanted.Subject == true) details |= ClientCertDetails.Subject;
        return details;
    }

    private static HttpCodec Codec(Proto proto, Field field)
    {
        switch (proto.CodecType)
        {
            case Proto.Types.CodecType.Auto: return HttpCodec.Auto;
            case Proto.Types.CodecType.Http1: return HttpCodec.Http1;
            case Proto.Types.CodecType.Http2: return HttpCodec.Http2;
            default:
                field.Unsupported(true, $"codec_type {proto.CodecType}");
                return HttpCodec.Auto;
        }
    }

    private static string RdsName(Rds proto, Field field)
    {
        if (proto.ConfigSource is null) field.Error("config_source", "is missing");
        else ConfigSources.Check(proto.ConfigSource, field.At("config_source"));
        if (proto.RouteConfigName.Length == 0) field.Error("route_config_name", "is empty");
        return proto.RouteConfigName;
    }

    /// <summary>The RBAC filters before the router. A filter that is not known may be skipped only where it says so itself.</summary>
    private static List<AuthorizationFilter> Filters(Proto proto, Field field)
    {
        var rbac = new List<AuthorizationFilter>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < proto.HttpFilters.Count; i++)
        {
            var (filter, at) = (proto.HttpFilters[i], field.At("http_filters", i));
            if (filter.Name.Length == 0) at.Error("name", "is empty");
            else if (!names.Add(filter.Name)) at.Error("name", $"\"{filter.Name}\" is used twice");
            var router = filter.TypedConfig.Holds(AnyTypes.Router);
            if (filter.TypedConfig.Holds(AnyTypes.HttpRbac))
            {
                at.Unsupported(filter.Disabled, "disabled");
                if (AuthorizationBuilder.Http(filter.Name, filter.TypedConfig, at) is { } read) rbac.Add(read);
            }
            else if (!router && !filter.IsOptional && !filter.Disabled)
                at.Error($"\"{filter.Name}\" ({filter.TypedConfig?.TypeUrl ?? "no typed_config"}) is not supported by this sidecar yet");
        }

        if (proto.HttpFilters.Count == 0 || !proto.HttpFilters[^1].TypedConfig.Holds(AnyTypes.Router))
            field.Error("http_filters", $"the last one must be {AnyTypes.Name(AnyTypes.Router)}");
        return rbac;
    }
}
