import { Breadcrumb, BreadcrumbItem, Content, Flex, FlexItem, PageSection, Title } from "@patternfly/react-core";
import { type ReactNode, useEffect } from "react";
import { Link } from "react-router";
import { useSilence } from "../api/silence";
import { Silence } from "./Problem";

/** A page's head and body. */
export function Page({ title, lead, actions, parents = [], children, badge }: {
  title: string; lead?: ReactNode; actions?: ReactNode; parents?: { title: string; to: string }[]; children: ReactNode; badge?: ReactNode;
}) {
  const silent = useSilence();
  useEffect(() => {
    document.title = `${title} · Stackling`;
  }, [title]);
  return (
    <>
      <PageSection hasBodyWrapper={false}>
        {parents.length > 0 && (
          <Breadcrumb>
            {parents.map((parent) => (
              <BreadcrumbItem key={parent.to} render={({ className }) => <Link className={className} to={parent.to}>{parent.title}</Link>} />
            ))}
            <BreadcrumbItem isActive>{title}</BreadcrumbItem>
          </Breadcrumb>
        )}
        <Flex justifyContent={{ default: "justifyContentSpaceBetween" }} alignItems={{ default: "alignItemsFlexStart" }}>
          <FlexItem>
            <Flex alignItems={{ default: "alignItemsCenter" }} gap={{ default: "gapSm" }}>
              <Title headingLevel="h1">{title}</Title>{badge}
            </Flex>
            {lead && <Content component="p" className="st-muted">{lead}</Content>}
          </FlexItem>
          {actions && <FlexItem>{actions}</FlexItem>}
        </Flex>
      </PageSection>
      <PageSection hasBodyWrapper={false} isFilled>{silent && <Silence />}{children}</PageSection>
    </>
  );
}
